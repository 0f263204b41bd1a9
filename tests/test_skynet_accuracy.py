"""docs/skynet-training.md: its tables are the CSV's, the CSV is whole, and the shipped detector is as said."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from accelerators.skynet import accuracy, detection, measured
from accelerators.skynet.accuracy import FLOAT, PUBLISHED_IOU, Scheme
from accelerators.skynet.fixed import Formats
from hwsim.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "skynet-training.md"
SHIPPED = accuracy.TRAINED / "skynet_c_narrow.npz"


@pytest.fixture(scope="module")
def rows() -> measured.Rows:
    return measured.read(measured.TABLE)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("skynet_accuracy", ROOT / "scripts" / "skynet_accuracy.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_are_those_of_the_csv(rows: measured.Rows, script: ModuleType) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert script.filled(page, rows) == page, "run: python scripts/skynet_accuracy.py"
    changed = {row: iou + 0.01 for row, iou in rows.items()}
    assert script.filled(page, changed) != page


def test_the_csv_holds_every_planned_row_once(rows: measured.Rows) -> None:
    study = pytest.importorskip("accelerators.skynet.learning.study")
    planned = list(study.planned(study.Study(Path("unused"))))
    assert list(rows) == planned
    assert f"measures {len(planned)} rows" in PAGE.read_text(encoding="utf-8")
    print(f"{len(planned)} rows, {len({row[:3] for row in planned})} trainings")


def test_means_and_shares_follow_from_the_rows(rows: measured.Rows) -> None:
    """Against the text of the file, not through `ious`."""
    lines = [line.split(",") for line in measured.TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    for scheme in PUBLISHED_IOU:
        own = [
            float(x[6]) for x in lines if x[:2] == ["c", "relu6"] and (int(x[3]), int(x[4])) == scheme and x[5] == "0"
        ]
        whole = [float(x[6]) for x in lines if x[:2] == ["c", "relu6"] and x[3:6] == ["0", "0", "0"]]
        assert len(own) == len(whole) == 3
        assert measured.share(rows, scheme) == pytest.approx(sum(own) / sum(whole))
    with pytest.raises(KeyError):
        measured.ious(rows, "c", "relu6", Scheme(3, 3))


def test_the_shipped_detector_loses_range_and_not_resolution(rows: measured.Rows) -> None:
    """The page's sentence, run again: <9, 4> keeps what <9, 3> does not."""
    test = detection.compose(detection.load_sources(), "test", accuracy.TEST_FRAMES)
    trained, anchors = accuracy.load(SHIPPED), accuracy.anchor_cells()
    found = {
        bits: accuracy.mean_iou(
            accuracy.fixed_maps(trained, test.images, Formats(feature_integer_bits=bits)), test.boxes, anchors
        )
        for bits in (3, 4)
    }
    own = {scheme: measured.ious(rows, "c", "relu6", scheme)[0] for scheme in (FLOAT, Scheme(9, 11))}
    assert found[3] == pytest.approx(own[Scheme(9, 11)], abs=5e-5)
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"an IoU of {found[4]:.3f} instead of {found[3]:.3f}, of {own[FLOAT]:.3f} in floating point" in page


HEAD, LINE = ",".join(measured.COLUMNS), "a,relu,1,0,0,0,0.5"


@pytest.mark.parametrize(
    "lines",
    [
        (HEAD, LINE, "a,relu,x,0,0,0,0.5"),
        (HEAD, LINE, "a,relu,2,0,0,0,nan"),
        (HEAD, LINE, "a,relu,2,0,0,0,7"),
        (HEAD, LINE, LINE),
        (HEAD, LINE, "a,relu,2,0,0,0,0.5,9"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(lines: tuple[str, ...], tmp_path: Path) -> None:
    table = tmp_path / "accuracy.csv"
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError) as caught:
        measured.read(table)
    assert "accuracy.csv:3" in str(caught.value) and "Delete the file" in str(caught.value)
    table.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError):
        measured.read(table)


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    study = pytest.importorskip("accelerators.skynet.learning.study")
    study.Study(tmp_path, frames=64).keep_settings()
    study.Study(tmp_path, frames=64).keep_settings()
    with pytest.raises(InputError) as caught:
        study.Study(tmp_path, frames=96).keep_settings()
    assert '"frames": 64' in str(caught.value)


def test_a_damaged_record_of_trainings_is_refused_with_its_line(tmp_path: Path) -> None:
    from accelerators.skynet.search.measures import Trainings

    for cell in ("abc", "7", "nan", ""):
        (tmp_path / "trained.csv").write_text(f"structure,seed,frames,iou\nx,1,64,0.5\ny,1,64,{cell}\n")
        with pytest.raises(InputError) as caught:
            Trainings(tmp_path / "trained.csv", range(1, 2), 64, 1)._known()
        assert "trained.csv:3" in str(caught.value)


def test_other_arrays_are_no_detector(tmp_path: Path) -> None:
    from accelerators.arrays import read_arrays, write_arrays

    held = read_arrays(SHIPPED, [], [*np.load(SHIPPED, allow_pickle=False).files])
    for arrays, words in (
        ({**held, "dw1.weight": held["dw1.weight"][:2]}, "for this plan"),
        ({**held, "dw1.weight": held["dw1.weight"].astype(np.float64)}, "float32"),
        ({name: array for name, array in held.items() if name != "head.weight"}, "head.weight"),
    ):
        write_arrays(tmp_path / "other.npz", arrays)
        with pytest.raises(InputError) as caught:
            accuracy.load(tmp_path / "other.npz")
        assert words in str(caught.value)


def test_a_network_goes_to_a_file_and_back(tmp_path: Path) -> None:
    trained = accuracy.load(SHIPPED)
    accuracy.save(trained, tmp_path / "copy.npz")
    assert (tmp_path / "copy.npz").read_bytes() == SHIPPED.read_bytes()
    assert trained.parameters == 13_862
