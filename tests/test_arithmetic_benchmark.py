"""The emulation of TF32: what is rounded, how, and what is not."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.arithmetic import BITS, ProductsInTF32, main, rounded, shifts


@given(st.floats(width=32, allow_nan=False, allow_subnormal=False))
def test_it_rounds_to_the_nearest_of_so_many_bits(value: float) -> None:
    [found] = rounded(torch.tensor([value])).tolist()
    if not np.isfinite(value) or not np.isfinite(found):
        assert abs(found) == np.inf
        assert abs(value) > 3.4e38
        return
    significand, exponent = np.frexp(value)
    # Of a significand in [1/2, 1) the first bit is not explicit; numpy rounds ties to even, too.
    assert found == np.ldexp(np.round(significand * 2 ** (BITS + 1)), exponent - BITS - 1)


def test_what_is_not_finite_stays() -> None:
    assert rounded(torch.tensor([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]
    assert rounded(torch.tensor([np.nan])).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_float32_have_rounded_operands_on_both_ways(dtype: torch.dtype) -> None:
    stream = torch.Generator().manual_seed(3)
    left, right, back = (
        torch.randn(*shape, generator=stream, dtype=dtype) for shape in ((2, 3, 4), (2, 4, 5), (2, 3, 5))
    )
    left.requires_grad_()
    with ProductsInTF32():
        product = torch.matmul(left, right)
        (gradient,) = torch.autograd.grad(product, left, back)
        doubled = left + left
    seen = rounded if dtype == torch.float32 else (lambda values: values)
    torch.testing.assert_close(product, torch.matmul(seen(left.detach()), seen(right)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient, torch.matmul(seen(back), seen(right).transpose(1, 2)), rtol=1e-6, atol=1e-6)
    assert torch.equal(doubled, 2 * left)


def test_convolutions_are_products() -> None:
    stream = torch.Generator().manual_seed(3)
    images, kernel = torch.randn(2, 3, 5, 5, generator=stream), torch.randn(4, 3, 3, 3, generator=stream)
    kernel.requires_grad_()
    with ProductsInTF32():
        maps = torch.nn.functional.conv2d(images, kernel)
        (gradient,) = torch.autograd.grad(maps.square().sum(), kernel)
    exact = torch.nn.functional.conv2d(images, kernel)
    torch.testing.assert_close(maps, torch.nn.functional.conv2d(rounded(images), rounded(kernel.detach())))
    assert not torch.equal(maps, exact)
    assert not torch.equal(gradient, torch.autograd.grad(exact.square().sum(), kernel)[0])


def test_shifts_are_in_halves_of_the_usual_interval() -> None:
    def finding(estimate: float, *interval: float | None) -> dict[str, object]:
        return {"estimate": estimate, "interval": interval}

    usual = {
        "findings": [finding(1.0, 0.5, 1.5), finding(2.0, 1.0, None), finding(1.0, None, None)],
        "controls": [{"findings": [finding(0, 0, 0)]}],
    }
    other = {
        "findings": [finding(1.25, 0.0, 9.0), finding(2.5, 1.0, None), finding(2.0, None, None)],
        "controls": [{"findings": [finding(0, 0, 0)]}],
    }
    assert shifts(usual, other) == [0.5, 0.5, 0.0, 0.0]


def test_it_trains_chosen_claims_twice_and_tells_what_moved(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--arithmetic=tf32", "-k", "gradient_flow_toy"]) == 0
    _, claim, everything = capfd.readouterr().out.splitlines()
    assert claim.split()[:3] == ["gradient-descent-is-not-gradient-flow-toy", "REPRODUCED", "REPRODUCED"]
    assert everything.startswith("all")
    assert "0 verdicts differ" in everything
