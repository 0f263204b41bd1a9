"""Integer inference: equal to the fake-quantized PyTorch graph to the bit, and to a slow twin of the kernels."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.quant import formats
from hwsim.quant.chain import Kind
from hwsim.quant.icn import Icn, fixed_point, icn_parameters, reach_of
from hwsim.quant.infer import accumulators, infer, infer_all, pack_value, quantize_input, unpack_value
from hwsim.quant.network import Add, Network, Pool, Pooling, Product, Value, Window, check
from hwsim.quant.thresholds import thresholds_of

torch = pytest.importorskip("torch")
from quant_cases import COMBINATIONS, KINDS, exact_chain, random_chain  # noqa: E402
from torch import nn  # noqa: E402

from hwsim.quant.assign import Bits  # noqa: E402
from hwsim.quant.training.blocks import Recipe  # noqa: E402
from hwsim.quant.training.convert import convert, with_thresholds  # noqa: E402
from hwsim.quant.training.deployed import Deployed  # noqa: E402
from hwsim.quant.training.prepare import prepare, weighted_layers  # noqa: E402

torch.set_num_threads(1)


def codes_of(network: Network, real: Any) -> Any:
    """Codes (channels last) of a torch graph's real outputs, which must lie on the output's grid."""
    value = network.values[network.output]
    images = real.detach().numpy().reshape(real.shape[0], value.shape[2], *value.shape[:2])
    codes = images.transpose(0, 2, 3, 1) / value.scale + value.zero
    assert np.array_equal(codes, np.rint(codes))
    return codes.astype(np.int64)


def deployed_codes(network: Network, inputs: Any) -> Any:
    return Deployed(network).codes(inputs).numpy().transpose(0, 2, 3, 1)


def golden(network: Network, inputs: Any) -> Any:
    return infer(network, quantize_input(network, inputs.numpy().transpose(0, 2, 3, 1)))


def icn_of(network: Network) -> Icn:
    [layer] = network.layers
    assert isinstance(layer, Product) and isinstance(layer.requantization, Icn)
    return layer.requantization


def scaled(icn: Icn) -> list[Fraction]:
    return [Fraction(int(m)) * Fraction(2) ** (int(n) - 31) for m, n in zip(icn.m0, icn.n0, strict=True)]


# --- the fake-quantized graph -----------------------------------------------------------------------------------


def premises_hold(chain: Any, network: Network) -> None:
    """M and Bq of the integer layer are those of the real graph without any rounding."""
    [block], icn = chain.blocks(), icn_of(network)
    unit = [Fraction(float(s)) * Fraction(network.values["input"].scale) for s in block.weight_format()[0]]
    channels = block.weight.shape[0]
    gain, shift = block.affine() if block.norm is not None else (torch.ones(channels), torch.zeros(channels))
    out = Fraction(network.values["layer"].scale)
    for c in range(channels):
        real = unit[c % len(unit)]
        multiplier = scaled(icn)[c % len(icn.m0)]
        assert multiplier == real * Fraction(float(gain[c].detach())) / out
        offset = Fraction(float(shift[c].detach())) / Fraction(float(gain[c].detach()))
        bias = Fraction(float(block.layer.bias[c].detach())) + offset
        assert int(icn.bias[c]) == bias / real


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.value)
@pytest.mark.parametrize("recipe", Recipe, ids=lambda recipe: recipe.value)
def test_integer_inference_is_the_fake_quantized_graph(kind: Kind, recipe: Recipe) -> None:
    """The graph that is trained, in float64, on values that float64 holds exactly (see quant_cases.exact_chain)."""
    used = elements = 0
    for case, bits in enumerate(COMBINATIONS):
        chain, inputs = exact_chain(kind, recipe, bits, case)
        network = convert(chain, tuple(inputs.shape[1:]))
        premises_hold(chain, network)
        with torch.no_grad():
            wanted = codes_of(network, chain(inputs))
        assert np.array_equal(golden(network, inputs), wanted), (bits, case)
        used += len(np.unique(wanted)) > 1
        elements += wanted.size
    # With two bits a small layer may use one code only.
    assert used >= 24, used
    print(f"{kind.value} {recipe.value}: {len(COMBINATIONS)} combinations of widths, {elements} outputs equal")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.value)
@pytest.mark.parametrize("recipe", Recipe, ids=lambda recipe: recipe.value)
def test_integer_inference_is_the_deployed_graph(kind: Kind, recipe: Recipe, deep: bool) -> None:
    """Arbitrary values and full 31-bit multipliers, against torch in float64 with the multiplier split in two."""
    elements = off = 0
    for case in range(len(COMBINATIONS) * (20 if deep else 1)):
        chain, inputs = random_chain(kind, recipe, COMBINATIONS[case % 27], case)
        network = convert(chain, tuple(inputs.shape[1:]))
        with torch.no_grad():
            found = golden(network, inputs)
            assert np.array_equal(found, deployed_codes(network, inputs)), case
            value = network.values[network.output]
            trained = np.rint(chain(inputs).numpy().reshape(4, found.shape[3], *found.shape[1:3]).transpose(0, 2, 3, 1)
                              / value.scale + value.zero)  # fmt: skip
        # Rounding Bq to a whole step of the accumulator moves an output by up to M/2 codes.
        bound = 1 + np.floor([abs(float(m)) / 2 for m in scaled(icn_of(network))])
        assert (np.abs(trained - found) <= bound).all()
        elements, off = elements + found.size, off + int((trained != found).sum())
    print(f"{kind.value} {recipe.value}: {elements} outputs equal; the rounding of M and Bq had moved {off} of them")


# --- the kernels, one step at a time ----------------------------------------------------------------------------


def smull_kernel(phi: int, bias: int, m0: int, n0: int, zero: int, bits: int) -> int:
    """The requantization of the C kernels on 32-bit registers: shift, SMULL, shift, add, USAT."""
    accumulator = phi + bias << max(0, -n0)
    assert -(2**31) <= accumulator < 2**31
    product = accumulator * m0
    assert -(2**63) <= product < 2**63
    result = (product >> 32 >> max(0, n0)) + zero
    return min(max(result, 0), 2**bits - 1)


def test_icn_is_the_formula_and_the_kernel(deep: bool) -> None:
    rng = random.Random(5)
    count = 200_000 if deep else 20_000
    for _ in range(count):
        exponent, bits = rng.randint(-24, 4), rng.choice((8, 4, 2))
        m0, n0 = fixed_point(rng.choice((-1, 1)) * rng.uniform(0.5, 1) * 2.0**exponent)
        assert 2**30 <= abs(m0) < 2**31
        room = (2**31 - 1) >> max(0, n0 + 1)
        near = int(min(room, 2 ** (bits + 2 - exponent)))
        total = rng.randint(-near, near)
        bias = rng.randint(-near, near) // 2
        zero = rng.randint(0, 2**bits - 1)
        icn = Icn(np.array([m0], np.int32), np.array([n0], np.int8), np.array([bias], np.int32))
        [found] = icn.codes(np.array([total - bias]), zero, bits)
        formula = zero + (Fraction(m0) * Fraction(2) ** (n0 - 31) * total).__floor__()
        assert found == min(max(formula, 0), 2**bits - 1)
        assert found == smull_kernel(total - bias, bias, m0, int(icn.kernel_n0[0]), zero, bits)
    print(f"{count} accumulators: kernel order and formula equal")


def test_multipliers_in_fixed_point() -> None:
    assert fixed_point(0.5) == (1 << 30, 0)
    assert fixed_point(-1.0) == (-(1 << 30), 1)
    assert fixed_point(1 - 2.0**-40) == (1 << 30, 1)
    assert fixed_point(0.0) == (0, 0)
    assert fixed_point(2.0**-60)[1] == -32
    with pytest.raises(InputError) as caught:
        fixed_point(2.0**40)
    assert str(caught.value) == (
        "[multiplier] got 1099511627776.0; a layer's multiplier is below 2^30. "
        "Look at the scales of its input, its weights and its output."
    )
    for endless in (math.inf, -math.inf, math.nan):
        with pytest.raises(InputError, match="a layer's multiplier is below"):
            fixed_point(endless)


def test_an_accumulator_that_can_overflow_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        icn_parameters([0.1, 0.1], [0, 0], [5, 2**31])
    assert str(caught.value) == (
        "[accumulator] got 'channel 1'; its products can exceed an accumulator of 32 bits. "
        "Use fewer bits, or split the layer."
    )
    clipped = icn_parameters([0.1], [1e30], [5])
    assert clipped.bias[0] == 2**31 - 1 - 5
    # 1.5 = 0.75 * 2^1: the kernel shifts left by 2 first.
    for sign in (1, -1):
        assert icn_parameters([1.5], [sign * 1e30], [5]).bias[0] == sign * (2**29 - 1 - 5)


def test_the_reach_of_a_layer_is_that_of_its_worst_input() -> None:
    """By trying every input code for every weight."""
    rng = np.random.default_rng(6)
    for input_zero in (0, 3, 12, 15):
        weights, zeros = rng.integers(0, 16, (3, 2, 1, 2)), rng.integers(0, 16, 3)
        wanted = [
            max(abs(sum((int(w) - int(zero)) * (x - input_zero) for w, x in zip(row.reshape(-1), codes, strict=True)))
                for codes in itertools.product((0, 15), repeat=4))
            for row, zero in zip(weights, zeros, strict=True)
        ]  # fmt: skip
        reach = reach_of(weights, zeros, input_zero, 4)
        assert all(reach >= wanted)
        centred = np.abs(weights.reshape(3, -1) - zeros[:, None]).sum(axis=1)
        assert reach.tolist() == (centred * max(input_zero, 15 - input_zero)).tolist()


def twin(network: Network, codes: Any) -> Any:
    """One image through one layer: loops over everything, weights read from the packed bytes."""
    [layer] = network.layers
    assert isinstance(layer, Product)
    source, out, icn = network.values[layer.input], network.values[layer.output], icn_of(network)

    def weight(*index: int) -> int:
        at = int(np.ravel_multi_index(index, layer.weight_shape))
        per_byte = 8 // layer.weight_bits
        return int(layer.weights[at // per_byte]) >> at % per_byte * layer.weight_bits & 2**layer.weight_bits - 1

    def pixel(y: int, x: int, c: int) -> int:
        inside = 0 <= y < source.shape[0] and 0 <= x < source.shape[1]
        return int(codes[y, x, c]) - source.zero if inside else 0

    result = np.zeros(out.shape, np.int64)
    for y, x, c in np.ndindex(out.shape):
        wzero = int(layer.weight_zero[c % len(layer.weight_zero)])
        phi = 0
        if layer.kind is Kind.LINEAR:
            flat = [pixel(*at) for at in np.ndindex(source.shape)]
            phi = sum((weight(c, i) - wzero) * value for i, value in enumerate(flat))
        else:
            top, left = y * layer.window.stride[0] - layer.window.padding[0], x * layer.window.stride[1]
            left -= layer.window.padding[2]
            for ky, kx in np.ndindex(layer.window.size):
                channels = (c,) if layer.kind is Kind.DEPTHWISE else range(source.shape[2])
                for i in channels:
                    w = weight(ky, kx, c) if layer.kind is Kind.DEPTHWISE else weight(c, ky, kx, i)
                    phi += (w - wzero) * pixel(top + ky, left + kx, i)
        at = c % len(icn.m0)
        result[y, x, c] = smull_kernel(phi, int(icn.bias[c]), int(icn.m0[at]), int(icn.kernel_n0[at]), out.zero,
                                       out.bits)  # fmt: skip
    return result


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.value)
def test_golden_function_is_its_slow_twin(kind: Kind, deep: bool) -> None:
    cases = range(0, 27, 1 if deep else 4)
    for case in cases:
        for recipe in Recipe:
            chain, inputs = random_chain(kind, recipe, COMBINATIONS[case], case)
            network = convert(chain, tuple(inputs.shape[1:]))
            codes = quantize_input(network, inputs[:1].numpy().transpose(0, 2, 3, 1))
            assert np.array_equal(infer(network, codes)[0], twin(network, codes[0]))
    print(f"{kind.value}: {3 * len(cases)} layers equal to the twin")


@pytest.mark.parametrize("kind", [Kind.CONV, Kind.DEPTHWISE], ids=lambda kind: kind.value)
def test_unequal_padding(kind: Kind) -> None:
    """Zeros on all sides differ in number, as PyTorch layers cannot have them but integer networks can."""
    for case, padding in enumerate(((1, 0, 2, 3), (0, 2, 1, 0), (2, 1, 0, 1))):
        chain, inputs = random_chain(kind, Recipe.PC_ICN, (8, 4, 2), 3 * case + 1)
        network = convert(chain, tuple(inputs.shape[1:]))
        [layer] = network.layers
        assert isinstance(layer, Product)
        window = replace(layer.window, padding=padding)
        value = network.values[layer.output]
        size = window.out(*network.values["input"].shape[:2])
        values = {**network.values, layer.output: replace(value, shape=(*size, value.shape[2]))}
        changed = check(replace(network, values=values, layers=(replace(layer, window=window),)))
        found = golden(changed, inputs)
        assert np.array_equal(found, deployed_codes(changed, inputs))
        codes = quantize_input(changed, inputs[:1].numpy().transpose(0, 2, 3, 1))
        assert np.array_equal(found[0], twin(changed, codes[0]))


def test_a_layer_that_is_always_zero_is_converted() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)).double()
    with torch.no_grad():
        net[0].bias.fill_(-100.0)
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    network = convert(prepare(net, Bits((4, 4), (8, 4, 8)), Recipe.PL_ICN, images).double(), (3, 4, 4))
    codes = infer_all(network, quantize_input(network, images.numpy().transpose(0, 2, 3, 1)))
    assert not codes["0"].any()


# --- thresholds -------------------------------------------------------------------------------------------------


def test_thresholds_are_icn_wherever_16_bits_reach(deep: bool) -> None:
    """Every accumulator from -32768 to 32766, of random layers with positive, negative and vanishing multipliers."""
    rng = np.random.default_rng(3)
    phi = np.arange(-32768, 32767)[:, None]
    layers = 200 if deep else 20
    clipped = 0
    for i in range(layers):
        bits, channels = (4, 2)[i % 2], 5
        zero = int(rng.integers(0, 2**bits))
        multipliers = rng.choice([-1, 1, 1], channels) * 2.0 ** rng.uniform(-14, -4, channels)
        multipliers[0] = 0.0
        icn = icn_parameters(multipliers, rng.integers(-20_000, 20_000, channels), np.full(channels, 2**16))
        layer = thresholds_of(icn, channels, zero, bits)
        signed = phi * layer.sign
        assert np.array_equal(layer.codes(signed), icn.codes(signed, zero, bits))
        slow = (signed[:50, :, None] * layer.sign[:, None] >= layer.table).sum(axis=2)
        assert np.array_equal(layer.codes(signed[:50]), slow)
        clipped += layer.clipped
    assert clipped > 0
    print(f"{layers} layers x {phi.size} accumulators x 5 channels equal; {clipped} thresholds beyond 16 bits")


def test_thresholds_differ_only_beyond_16_bits() -> None:
    icn = icn_parameters([2.0**-16], [0], [2**20])
    layer = thresholds_of(icn, 1, 0, 2)
    assert layer.table.tolist() == [[32767, 32767, 32767]] and layer.clipped == 3
    assert layer.codes(np.array([[32766], [32767]])).tolist() == [[0], [3]]
    assert icn.codes(np.array([[32766], [32767]]), 0, 2).tolist() == [[0], [0]]


def test_thresholds_of_whole_layers() -> None:
    equal = 0
    for case, bits in enumerate(COMBINATIONS):
        for kind in KINDS:
            chain, inputs = random_chain(kind, Recipe.PC_ICN, bits, case)
            network = convert(chain, tuple(inputs.shape[1:]))
            other = with_thresholds(network)
            codes = quantize_input(network, inputs.numpy().transpose(0, 2, 3, 1))
            [layer] = network.layers
            assert isinstance(layer, Product)
            phi = accumulators(layer, codes - network.values["input"].zero)
            near = np.abs(phi) <= 32766
            assert np.array_equal(infer(other, codes)[near], infer(network, codes)[near])
            assert (other == network) if bits[1] == 8 else (other.layers != network.layers)
            equal += int(near.sum())
    print(f"{equal} outputs of {len(COMBINATIONS) * len(KINDS)} layers equal")


def test_eight_bit_outputs_have_no_thresholds() -> None:
    with pytest.raises(InputError) as caught:
        thresholds_of(icn_parameters([0.1], [0], [9]), 1, 0, 8)
    assert str(caught.value) == "[bits] got 8; threshold layers have outputs of 4 or 2 bits. Use ICN for this layer."


# --- whole networks ---------------------------------------------------------------------------------------------


def small_net() -> nn.Sequential:
    def unit(inside: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        conv = nn.Conv2d(inside, out, size, stride, size // 2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU6())

    return nn.Sequential(
        unit(3, 9, 3), unit(9, 9, 3, 2, 9), unit(9, 11, 1), nn.MaxPool2d(3, 1, 1), unit(11, 11, 5, 1, 11),
        nn.AvgPool2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(11 * 9, 17), nn.ReLU(), nn.Linear(17, 6),
    )  # fmt: skip


@pytest.mark.parametrize("recipe", Recipe, ids=lambda recipe: recipe.value)
def test_networks_layer_by_layer(recipe: Recipe) -> None:
    torch.manual_seed(7)
    net = small_net().double()
    assert weighted_layers(net) == 6
    images = torch.rand(20, 3, 12, 12, dtype=torch.float64)
    widths = [Bits((w,) * 6, (8, *(v,) * 5, 8)) for w in (8, 4, 2) for v in (8, 4, 2)]
    for bits in widths:
        chain = prepare(net, bits, recipe, images).double()
        network = convert(chain, (3, 12, 12), "small")
        with torch.no_grad():
            assert np.array_equal(golden(network, images), deployed_codes(network, images))
    stored = infer_all(network, quantize_input(network, images[:1].numpy().transpose(0, 2, 3, 1)))
    for name, codes in stored.items():
        value = network.values[name]
        packed = pack_value(value, codes[0])
        assert packed.size == -(-int(np.prod(value.shape)) * value.bits // 8)
        assert np.array_equal(unpack_value(value, packed), codes)
    assert [type(layer).__name__ for layer in network.layers] == [
        "Product", "Product", "Product", "Pool", "Product", "Pool", "Product", "Product",
    ]  # fmt: skip
    print(f"{recipe.value}: {len(widths)} networks of 8 layers equal")


def test_folding_a_norm_changes_nothing() -> None:
    """Before any rounding, a network whose norms went into its weights computes what it did."""
    torch.manual_seed(8)
    net = small_net().double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight), nn.init.normal_(module.bias)
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
    images = torch.rand(5, 3, 12, 12, dtype=torch.float64)
    bits = Bits((8,) * 6, (8,) * 7)
    chains = [prepare(net, bits, recipe, images).double() for recipe in Recipe]
    assert [sum(block.norm is not None for block in chain.blocks()) for chain in chains] == [0, 4, 4]
    for chain in chains:
        for output in chain.outputs():
            output.observe = True
        with torch.no_grad():
            torch.testing.assert_close(chain(images), net(images), rtol=1e-9, atol=1e-9)


def test_mobilenet_runs_in_integers() -> None:
    from workloads import mobilenet

    torch.manual_seed(1)
    net = mobilenet.network(0.25, classes=10)
    images = torch.rand(2, 3, 32, 32)
    bits = Bits((4,) * 28, (8, *(4,) * 27, 8))
    network = convert(prepare(net, bits, Recipe.PC_ICN, images).double(), (3, 32, 32), "mobilenet")
    assert [layer.name for layer in network.layers][:3] == ["conv0", "dw1", "pw1"]
    assert network.layers[-1].name == "fc"
    with torch.no_grad():
        assert np.array_equal(golden(network, images), deployed_codes(network, images))


def test_a_channel_that_its_norm_silences_is_a_constant() -> None:
    chain, inputs = random_chain(Kind.CONV, Recipe.PC_ICN, (8, 4, 4), 3)
    [block] = chain.blocks()
    with torch.no_grad():
        block.norm.weight[0] = 0.0
        wanted = chain(inputs)[:, 0]
    network = convert(chain, tuple(inputs.shape[1:]))
    value = network.values[network.output]
    found = (golden(network, inputs)[..., 0] - value.zero) * value.scale
    assert np.array_equal(found, wanted.numpy())


def hand_made(pooling: Pooling, window: Window, shape: tuple[int, int, int]) -> Network:
    out = (*window.out(*shape[:2]), shape[2])
    values = {"input": Value("input", shape, 4, 0.1, 3), "out": Value("out", out, 4, 0.1, 3)}
    return check(Network("pool", values, (Pool("pool", pooling, "input", "out", window),), "input", "out"))


@pytest.mark.parametrize("pooling", Pooling)
def test_pooling_by_hand(pooling: Pooling) -> None:
    rng = np.random.default_rng(1)
    for size, stride in (((2, 2), (2, 2)), ((3, 2), (1, 3)), ((5, 7), (1, 1))):
        network = hand_made(pooling, Window(size, stride), (5, 7, 3))
        codes = rng.integers(0, 16, (2, 5, 7, 3))
        found = infer(network, codes)
        for n, y, x, c in np.ndindex(found.shape):
            part = codes[n, y * stride[0] : y * stride[0] + size[0], x * stride[1] : x * stride[1] + size[1], c]
            nearest = int(Fraction(int(part.sum()), part.size) + Fraction(1, 2))
            assert found[n, y, x, c] == (part.max() if pooling is Pooling.MAX else nearest)


def test_a_sum_is_the_fake_quantized_sum() -> None:
    """q(x + y) with exact scales, in float64, for every combination of widths."""
    rng = np.random.default_rng(2)
    for input_bits, other_bits, output_bits in COMBINATIONS:
        shape = (3, 3, 5)
        values = {
            "input": Value("input", shape, input_bits, 0.375, 1), "a": Value("a", shape, other_bits, 0.375, 2),
            "out": Value("out", shape, output_bits, 0.5, 1),
        }  # fmt: skip
        keep = icn_parameters([1.0], np.zeros(5), np.full(5, 2**8))
        identity = formats.pack(np.eye(5, dtype=np.int64) + 1, 2)
        to_a = Product("to_a", Kind.POINTWISE, "input", "a", Window(), identity, (5, 1, 1, 5), 2, np.array([1]), keep)
        add = Add("add", ("input", "a"), "out", icn_parameters([0.375 / 0.5], np.zeros(5), np.full(5, 2**10)))
        network = check(Network("sum", values, (to_a, add), "input", "out"))
        codes = rng.integers(0, 2**input_bits, (4, *shape))
        found = infer_all(network, codes)
        real = 0.375 * (codes - 1) + 0.375 * (found["a"] - 2)
        assert np.array_equal(found["a"], np.clip(codes - 1 + 2, 0, 2**other_bits - 1))
        assert np.array_equal(found["out"], np.clip(np.floor(real / 0.5) + 1, 0, 2**output_bits - 1))
    print(f"{len(COMBINATIONS)} sums equal")


# --- formats ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_formats_hold_their_values(bits: int) -> None:
    rng = np.random.default_rng(bits)
    values = rng.normal(size=(5, 7, 3)) + rng.normal(size=(5, 1, 1))
    for per_channel in (False, True):
        for symmetric, signed in ((False, False), (True, False), (False, True), (True, True)):
            form = formats.fit(values, bits, per_channel=per_channel, symmetric=symmetric, signed=signed)
            assert form.scale.size == (5 if per_channel else 1)
            codes = form.quantize(values)
            low, high = formats.code_range(bits, signed=signed)
            assert low <= codes.min() and codes.max() <= high
            assert np.array_equal(form.quantize(form.dequantize(codes)), codes)
            assert np.array_equal(
                form.dequantize(form.zero.reshape(-1, 1, 1) * np.ones((5, 1, 1), np.int64)), 0 * values[:, :1, :1]
            )
            error = np.abs(form.dequantize(codes) - values) / form.scale.reshape(-1, 1, 1)
            assert error.max() <= (1.0 if bits > 2 or not symmetric else 1.5) + 1e-9
            assert not (symmetric and signed) or not form.zero.any()


@pytest.mark.parametrize("signed", [False, True])
def test_packing_is_the_bits_in_a_row(signed: bool) -> None:
    rng = np.random.default_rng(4)
    for bits in (8, 4, 2):
        for count in range(1, 40):
            low, high = formats.code_range(bits, signed=signed)
            codes = rng.integers(low, high + 1, count)
            packed = formats.pack(codes, bits)
            number = sum((int(code) & 2**bits - 1) << i * bits for i, code in enumerate(codes))
            assert packed.tobytes() == number.to_bytes(-(-count * bits // 8), "little")
            assert np.array_equal(formats.unpack(packed, bits, (count,), signed=signed), codes)


def test_only_8_4_and_2_bits_are_packed() -> None:
    with pytest.raises(InputError) as caught:
        formats.pack([1], 3)
    assert str(caught.value) == "[bits] got 3; codes are packed at 8, 4 or 2 bits."


# --- what is refused --------------------------------------------------------------------------------------------


def refused(net: nn.Module, bits: Bits) -> str:
    with pytest.raises(InputError) as caught:
        prepare(net, bits, Recipe.PL_ICN, torch.zeros(1, 3, 8, 8))
    return str(caught.value)


def test_networks_that_are_no_such_chain_are_refused() -> None:
    one = Bits((8,), (8, 8))
    rule = (
        "a quantized network is made of Conv2d (dense or depth-wise, undilated), Linear, BatchNorm2d, ReLU, ReLU6, "
        "Hardtanh, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d(1), ZeroPad2d before a convolution, sums of two values (one "
        "of them filled up with channels of zeros, if need be), Flatten and Dropout."
    )
    assert refused(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()), one) == f"[unsupported] 1: got 'GELU'; {rule}"
    assert refused(nn.Sequential(nn.Conv2d(3, 4, 3, dilation=2)), one) == f"[unsupported] 0: got 'Conv2d'; {rule}"
    wrong = refused(nn.Sequential(nn.Conv2d(3, 4, 3)), Bits((8, 8), (8, 8, 8)))
    assert wrong == "[bits] got 2; the network has 1 layers with weights."


def test_functions_that_no_layer_does_are_refused() -> None:
    class Net(nn.Module):
        def __init__(self, then: Callable[[torch.Tensor], torch.Tensor]) -> None:
            super().__init__()
            self.conv, self.then = nn.Conv2d(3, 4, 3), then

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.then(self.conv(x))

    bits = Bits((8,), (8, 8))
    assert "got 'a sum with a number'" in refused(Net(lambda y: y + 1), bits)
    assert "got 'a sum of a value with itself or with the input'" in refused(Net(lambda y: y + y), bits)
    assert "got 'an average over parts of the image'" in refused(
        Net(lambda y: nn.functional.adaptive_avg_pool2d(y, 2)), bits)  # fmt: skip
    assert "got 'sigmoid'" in refused(Net(torch.sigmoid), bits)


def test_networks_whose_shapes_do_not_meet_are_refused() -> None:
    values = {"input": Value("input", (4, 4, 3), 8, 0.1, 0), "out": Value("out", (2, 2, 3), 8, 0.2, 0)}
    layer = Pool("pool", Pooling.MAX, "input", "out", Window((2, 2), (2, 2)))
    with pytest.raises(InputError) as caught:
        check(Network("n", values, (layer,), "input", "out"))
    assert str(caught.value) == "[format] pool: got 'out'; pooling keeps the format of its input."
    with pytest.raises(InputError) as caught:
        infer(hand_made(Pooling.MAX, Window(), (2, 2, 1)), np.zeros((1, 3, 3, 1)))
    assert str(caught.value) == "[shape] got (1, 3, 3, 1); input codes have the shape (batch, 2, 2, 1)."
    for wrong in (-1, 16):
        with pytest.raises(InputError) as caught:
            infer(hand_made(Pooling.MAX, Window(), (1, 2, 1)), np.array([3, wrong]).reshape(1, 1, 2, 1))
        assert str(caught.value) == f"[range] got {wrong}; input codes have 4 bits."
