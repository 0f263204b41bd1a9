"""Accuracy of PoET-BiN on real data: against other classifiers of the same features, and over its shapes.

    python -m accelerators.poetbin.study compare --work DIR --data mnist-5k --seeds 5    -> comparison.csv
    python -m accelerators.poetbin.study shapes --work DIR --data mnist-5k --seeds 3     -> accuracy.csv
    python -m accelerators.poetbin.study starts --work DIR --data fashion-mnist          -> starts.csv
    python -m accelerators.poetbin.study tables          all as tables in docs/poetbin-training.md and README.md

Trainings are kept under DIR and go on there; the CSV files beside this one collect whatever has been measured. All
accuracies are those on test samples that nothing was trained on or chosen by.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerators.poetbin import data
from accelerators.poetbin.folder import opened, write_json
from accelerators.poetbin.train import Progress, options_of, settings_of
from hwsim.document import read_json
from hwsim.errors import EXIT_BAD_INPUT, EXIT_OK, InputError

HERE = Path(__file__).parent
COMPARISON, ACCURACY, STARTS = HERE / "comparison.csv", HERE / "accuracy.csv", HERE / "starts.csv"
PAGE = HERE.parent.parent / "docs" / "poetbin-training.md"
PAGES = (PAGE, HERE / "README.md")
DATA: dict[str, dict[str, Any]] = {
    "mnist-5k": {"data": "mnist-5k"},
    "mnist-5k-shifted": {"data": "mnist-5k", "copies": 9},
    "fashion-mnist": {"data": "fashion-mnist"},
    "digits": {"data": "digits"},
}
"""What is compared, by the options of the training. `shifted` has nine shifted copies of each training image."""
METHODS = {
    "teacher": "teacher (binary features and intermediate layer)",
    "float": "float classifier 512-512-10",
    "boosted trees": "gradient-boosted trees (scikit-learn, 100 rounds)",
    "1-bit network": "1-bit network 512-512-10",
    "trees": "PoET-BiN, teacher's output layer",
    "retrained": "PoET-BiN, output layer retrained",
    "quantized": "PoET-BiN, retrained, q = 8: the tables",
}
COMPARED = ("data", "seed", "method", "accuracy")
SHAPED = ("data", "p", "groups", "trees", "depth", "neurons", "q", "seed", "accuracy", "teacher_accuracy",
          "luts", "lut6_naive", "lut6_simplified")  # fmt: skip
STARTED = ("data", "start", "rate", "accuracy")
RATES = ("0.0001", "0.001", "0.01")
INPUTS = (4, 6, 8)
SCORE_BITS = (2, 3, 4, 6, 8)
SHAPE_STEPS = 3_500
"""Steps of retraining in the study of shapes: 35 epochs of 10,000 samples, a fifth of what `train` takes."""

Row = Mapping[str, Any]


# --- against others ---------------------------------------------------------------------------------------------


def compare(work: Path, name: str, seed: int, threads: int, progress: Progress) -> list[Row]:
    """One row a method for one seed: a training in the published shape, and its rivals on the same features."""
    from accelerators.poetbin import pipeline

    done = work / f"compare-{name}-{seed}.json"
    if not done.exists():
        dataset = data.load(DATA[name]["data"])
        settings = settings_of(options_of(**DATA[name], seed=seed), dataset)
        trained = pipeline.train(work / f"{name}-{seed}", settings, dataset, threads, progress)
        found = _stages(trained.results) | _rivals(trained.taught, seed, settings.epochs, threads, progress)
        write_json(done, found)
    found = read_json(done).data
    return [{"data": name, "seed": seed, "method": method, "accuracy": found[method]} for method in METHODS]


def _stages(results: Row) -> dict[str, float]:
    kinds = {"teacher": "teacher_accuracy", "trees": "accuracy_before_retraining", "retrained": "accuracy_retrained",
             "quantized": "accuracy"}  # fmt: skip
    return {method: results[key]["test"] for method, key in kinds.items()}


def _rivals(taught: Any, seed: int, epochs: int, threads: int, progress: Progress) -> dict[str, float]:
    from accelerators.poetbin.learning import rivals, teacher, train

    known, test = taught.parts["train"], taught.parts["test"]
    classes, schedule = int(known.labels.max()) + 1, teacher.Schedule(epochs)
    makers = {
        "float": lambda: rivals.float_classifier(known.features, known.labels, classes, seed, schedule),
        "1-bit network": lambda: rivals.binary_network(known.features, known.labels, classes, seed, schedule),
        "boosted trees": lambda: rivals.boosted_trees(known.features, known.labels, seed, threads),
    }
    found = {}
    for done, (method, make) in enumerate(makers.items()):
        progress(f"rival: {method},", done, len(makers), 0.0)
        found[method] = train.accuracy(make()(test.features), test.labels)
    return found


# --- starts of the output layer ---------------------------------------------------------------------------------


def starts(work: Path, name: str, progress: Progress) -> Iterator[Row]:
    """Accuracy of the output layer in float after retraining from two starts at three rates, on the bits of seed 0."""
    from accelerators.poetbin import pipeline
    from accelerators.poetbin.learning import output

    dataset = data.load(DATA[name]["data"])
    settings = settings_of(options_of(**DATA[name]), dataset)
    trained = pipeline.train(work / f"{name}-0", settings, dataset, 1, progress)
    seen = pipeline.said_by(trained.classifier.neurons, trained.taught)
    layers = {"teacher": trained.taught.layer,
              "random": output.random_layer(dataset.classes, trained.classifier.fan_in, settings.seed)}  # fmt: skip
    for start, layer in layers.items():
        yield {
            "data": name,
            "start": start,
            "rate": "0",
            "accuracy": layer.accuracy(seen["test"].bits, seen["test"].labels),
        }
        for rate in RATES:
            known = (seen["train"], seen["validation"], settings.seed, settings.steps, float(rate))
            found = output.retrain(layer, *known)
            right = found.accuracy(seen["test"].bits, seen["test"].labels)
            yield {"data": name, "start": start, "rate": rate, "accuracy": right}


# --- over shapes ------------------------------------------------------------------------------------------------


def shapes(p: int) -> list[tuple[int, ...]]:
    """Modules of a neuron, outermost level first: a tree, a MAT of trees, a MAT of groups of trees."""
    trees = [n for n in (2, 4, p) if n <= p]
    pairs = [(2, 2), (2, 4), (4, 4), (2, p), (4, p), *([(p, p)] if p <= 6 else [])]
    return list(dict.fromkeys([(), *((n,) for n in trees), *pairs]))


def over_shapes(work: Path, name: str, seed: int, threads: int, progress: Progress) -> Iterator[Row]:
    """A row for each p, shape and q."""
    for p in INPUTS:
        done = work / f"shapes-{name}-{p}-{seed}.json"
        if not done.exists():
            write_json(done, list(_of_inputs(work, name, p, seed, threads, progress)))
        yield from read_json(done).data


def _of_inputs(work: Path, name: str, p: int, seed: int, threads: int, progress: Progress) -> Iterator[Row]:
    from accelerators.poetbin import pipeline

    dataset = data.load(name)
    settings = settings_of(options_of(data=name, seed=seed, p=p, groups=1, trees=1, steps=SHAPE_STEPS), dataset)
    with opened(work / f"shapes-{name}-{p}-{seed}", settings) as folder:
        taught = pipeline.teach(folder / "bits.npz", folder / "teacher.npz", settings, dataset, progress)
        for shape in shapes(p):
            yield from _of_shape(folder, settings, taught, shape, threads, progress)


def _of_shape(
    folder: Path, settings: Any, taught: Any, shape: tuple[int, ...], threads: int, progress: Progress
) -> Iterator[Row]:
    from accelerators.poetbin import pipeline
    from accelerators.poetbin.learning import output

    kept = folder / "neurons" / "x".join(map(str, shape or (1,)))
    kept.mkdir(exist_ok=True)
    wanted = pipeline.Wanted(settings.neurons, settings.p, shape)
    neurons = pipeline.grow(kept, wanted, taught.parts["train"], threads, progress)
    seen = pipeline.said_by(neurons, taught)
    layer = output.retrain(taught.layer, seen["train"], seen["validation"], settings.seed, settings.steps)
    groups, trees = (1, 1, *shape)[-2:]
    sizes = {"data": settings.data, "p": settings.p, "groups": groups, "trees": trees, "depth": len(shape)}
    for q in SCORE_BITS:
        classifier = pipeline.classifier_of(taught.parts["test"].features.shape[1], settings.p, neurons, layer, q)
        accuracies = {"accuracy": pipeline.quantized_accuracy(classifier, seen["test"]),
                      "teacher_accuracy": taught.accuracy["test"]}  # fmt: skip
        rest = {"neurons": settings.neurons, "q": q, "seed": settings.seed}
        yield {**sizes, **rest, **accuracies, **_counts(classifier.netlist())}


def _counts(netlist: Any) -> dict[str, int]:
    from hwsim.netlist.simplify import simplify
    from hwsim.netlist.statistics import lut6_cost

    cost = lut6_cost(simplify(netlist))
    return {"luts": len(netlist.luts), "lut6_naive": lut6_cost(netlist), "lut6_simplified": cost}


# --- CSV --------------------------------------------------------------------------------------------------------


def merged(path: Path, columns: Sequence[str], rows: Iterable[Row], keys: Sequence[str]) -> None:
    """Put `rows` into the CSV at `path`, in place of those with the same `keys`, sorted."""
    found: dict[tuple[str, ...], Row] = {}
    for row in read_rows(path) if path.exists() else []:
        found[tuple(row[k] for k in keys)] = row
    found |= {tuple(str(row[k]) for k in keys): {c: shown(row[c]) for c in columns} for row in rows}
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found[key] for key in sorted(found, key=lambda key: [_number(part) for part in key]))


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV as texts."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def shown(value: object) -> str:
    """A cell's text: accuracies to four digits after the point."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _number(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return -1.0, text


# --- tables -----------------------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> str:
    """`95.10 ± 0.32`: mean and standard deviation over seeds, in per cent."""
    deviation = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f}{deviation}"


def comparison_table() -> str:
    """The methods against the data sets, and how many seeds each has."""
    rows = read_rows(COMPARISON)
    names = [name for name in DATA if any(row["data"] == name for row in rows)]
    seeds = {name: len({row["seed"] for row in rows if row["data"] == name}) for name in names}
    lines = [
        f"| test accuracy, % | {' | '.join(f'{name} ({counted(seeds[name])})' for name in names)} |",
        "| --- |" + " --- |" * len(names),
    ]
    for method, title in METHODS.items():
        cells = [
            spread([float(r["accuracy"]) for r in rows if (r["data"], r["method"]) == (name, method)]) for name in names
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def starts_table() -> str:
    """Accuracy by start and first rate."""
    rows = read_rows(STARTS)
    names = [name for name in DATA if any(row["data"] == name for row in rows)]
    lines = [f"| start | first rate | {' | '.join(names)} |", "| --- | --- |" + " --- |" * len(names)]
    for start, rate in dict.fromkeys((row["start"], row["rate"]) for row in rows):
        found = {r["data"]: r["accuracy"] for r in rows if (r["start"], r["rate"]) == (start, rate)}
        cells = [f"{100 * float(found[name]):.2f}" for name in names]
        lines.append(f"| {start} | {rate if rate != '0' else 'not retrained'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shape_table(name: str) -> str:
    """Accuracy and cost of each shape at q = 8, and accuracy at fewer bits."""
    rows = [row for row in read_rows(ACCURACY) if row["data"] == name]
    columns = ["P", "groups x trees", "L", "tables", "LUT6 naive", "LUT6 simplified", *(f"q = {q}" for q in SCORE_BITS)]
    lines = [counted(len({row["seed"] for row in rows})) + ":", ""]
    lines += [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    for key in dict.fromkeys((r["p"], r["groups"], r["trees"], r["depth"]) for r in rows):
        lines.append(_shape_line(key, [r for r in rows if (r["p"], r["groups"], r["trees"], r["depth"]) == key]))
    return "\n".join(lines)


def counted(seeds: int) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{seeds} seed{'s' * (seeds != 1)}"


def _shape_line(key: tuple[str, ...], rows: Sequence[Row]) -> str:
    p, groups, trees, depth = key
    widest = [row for row in rows if row["q"] == str(SCORE_BITS[-1])]
    simplified = statistics.mean(int(row["lut6_simplified"]) for row in widest)
    counts = [widest[0]["luts"], widest[0]["lut6_naive"], f"{simplified:.0f}"]
    cells = [spread([float(r["accuracy"]) for r in rows if r["q"] == str(q)]) for q in SCORE_BITS]
    return "| " + " | ".join([p, f"{groups} x {trees}", depth, *counts, *cells]) + " |"


def page_with_tables(text: str) -> str:
    """The page's text with its generated sections made anew."""
    sections = {"comparison": comparison_table, "starts": starts_table} | {
        f"shapes {name}": lambda name=name: shape_table(name) for name in ("mnist-5k", "digits")
    }
    for title, table in sections.items():
        begin, end = f"<!-- {title}: generated -->", f"<!-- end of {title} -->"
        if begin in text:
            head, _, rest = text.partition(begin)
            text = f"{head}{begin}\n\n{table()}\n\n{end}{rest.partition(end)[2]}"
    return text


# --- command line -----------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m accelerators.poetbin.study", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("what", choices=("compare", "shapes", "starts", "tables"))
    parser.add_argument("--work", type=Path, metavar="DIR")
    parser.add_argument("--data", choices=DATA, action="append")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        if options.what == "tables":
            for page in PAGES:
                page.write_text(page_with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
        elif options.work is None:
            parser.error("everything but tables needs --work DIR")
        else:
            _measure(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return EXIT_OK


def _measure(options: argparse.Namespace) -> None:
    progress = Progress(sys.stderr)
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.data or DATA:
        if options.what == "starts":
            merged(STARTS, STARTED, starts(options.work, name, progress), ("data", "start", "rate"))
        for seed in range(options.seeds if options.what != "starts" else 0):
            _measure_seed(options, name, seed, progress)


def _measure_seed(options: argparse.Namespace, name: str, seed: int, progress: Progress) -> None:
    if options.what == "compare":
        rows = compare(options.work, name, seed, options.threads, progress)
        merged(COMPARISON, COMPARED, rows, ("data", "method", "seed"))
    else:
        found = over_shapes(options.work, name, seed, options.threads, progress)
        merged(ACCURACY, SHAPED, found, ("data", "p", "depth", "groups", "trees", "q", "seed"))


if __name__ == "__main__":
    sys.exit(main())
