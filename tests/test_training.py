"""Losses and Adam, against values computed by hand or by a second, scalar implementation."""

import math
import re

import numpy as np
import pytest

from rnnbench.errors import UsageError
from rnnbench.training import Adam, AdamState, loss_and_gradient

# ---- losses ----------------------------------------------------------------------------------------------------------


def test_mse_by_hand():
    prediction, target = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 0.0], [4.0, 1.0]])
    loss, gradient = loss_and_gradient("mse", prediction, target)
    assert loss == (0 + 4 + 1 + 16) / 4
    np.testing.assert_array_equal(gradient, np.array([[0, 2], [-1, 4]]) * 2 / 4)


def test_mse_counts_valid_elements_only():
    prediction = np.array([[[1.0], [2.0]], [[3.0], [np.nan]], [[5.0], [np.inf]]])  # [T=3, B=2, O=1]
    target = np.array([[[0.0], [0.0]], [[0.0], [1e30]], [[4.0], [np.nan]]])
    loss, gradient = loss_and_gradient("mse", prediction, target, np.array([3, 1]))
    assert loss == (1 + 9 + 1 + 4) / 4
    np.testing.assert_array_equal(gradient[:, 0, 0], np.array([1, 3, 1]) * 2 / 4)
    np.testing.assert_array_equal(gradient[:, 1, 0], [2 * 2 / 4, 0, 0])


def test_cross_entropy_by_hand():
    """Two classes with logits a and b: the surprise of the first is log(1 + exp(b − a))."""
    loss, gradient = loss_and_gradient("cross-entropy", np.array([[1.0, 3.0], [0.5, 0.5]]), np.array([0, 1]))
    assert loss == pytest.approx((math.log(1 + math.exp(2.0)) + math.log(2)) / 2, rel=1e-15)
    p = 1 / (1 + math.exp(2.0))
    np.testing.assert_allclose(gradient, np.array([[p - 1, 1 - p], [0.5, -0.5]]) / 2, rtol=1e-15)


def test_cross_entropy_of_every_step_counts_valid_steps_only():
    rng = np.random.default_rng(0)
    logits, target, lengths = rng.standard_normal((3, 2, 4)), rng.integers(0, 4, (3, 2)), np.array([1, 3])
    target[1:, 0] = -1  # padding may hold anything
    loss, gradient = loss_and_gradient("cross-entropy", logits, target, lengths)
    visits = [(0, 0), (0, 1), (1, 1), (2, 1)]
    surprises = []
    for visit in visits:
        odds = [math.exp(value) for value in logits[visit]]
        surprises.append(-math.log(odds[target[visit]] / sum(odds)))
        share = np.array(odds) / sum(odds)
        np.testing.assert_allclose(gradient[visit], (share - np.eye(4)[target[visit]]) / 4, rtol=1e-12)
    assert loss == pytest.approx(sum(surprises) / 4, rel=1e-14)
    assert not gradient[1:, 0].any()


def test_lengths_do_not_touch_the_loss_of_a_last_readout():
    prediction, target = np.array([[1.0], [2.0]]), np.zeros((2, 1))
    with_lengths, without = (loss_and_gradient("mse", prediction, target, n) for n in (np.array([1, 2]), None))
    assert with_lengths[0] == without[0] == 2.5
    np.testing.assert_array_equal(with_lengths[1], without[1])


@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
@pytest.mark.parametrize("shape", [(4, 3), (5, 4, 3)])
def test_loss_gradients_agree_with_central_differences(loss, shape):
    rng = np.random.default_rng(0)
    prediction = rng.standard_normal(shape)
    target = rng.standard_normal(shape) if loss == "mse" else rng.integers(0, 3, shape[:-1])
    lengths = rng.integers(1, 6, 4) if len(shape) == 3 else None
    gradient = loss_and_gradient(loss, prediction, target, lengths)[1]
    h = 1e-6  # rounding of the loss over 2h is about 1e-10
    for index in np.ndindex(shape):
        sides = []
        for shift in (h, -h):
            moved = prediction.copy()
            moved[index] += shift
            sides.append(loss_and_gradient(loss, moved, target, lengths)[0])
        assert gradient[index] == pytest.approx((sides[0] - sides[1]) / (2 * h), abs=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_keep_the_dtype_and_large_logits_do_not_overflow(dtype):
    prediction = np.array([[1e4, -1e4], [0.0, 1e4]], dtype)
    loss, gradient = loss_and_gradient("cross-entropy", prediction, np.array([1, 1]))
    assert loss == 1e4  # (2e4 + 0) / 2: the shifted exponent is exactly 0 or 1
    np.testing.assert_array_equal(gradient, [[0.5, -0.5], [0, 0]])
    assert gradient.dtype == dtype
    assert loss_and_gradient("mse", prediction, np.zeros((2, 2)))[1].dtype == dtype


@pytest.mark.parametrize(
    ("loss", "target", "line"),
    [
        ("mse", np.zeros((3,)), r"the target of mse must be real numbers \(2, 3\); got float64 \(3,\)"),
        ("mse", np.zeros((2, 1)), r"must be real numbers \(2, 3\); got float64 \(2, 1\)"),  # it would broadcast
        ("cross-entropy", np.zeros((2,)), r"must be class indices \(2,\); got float64 \(2,\)"),
        ("cross-entropy", np.zeros((2, 3), int), r"must be class indices \(2,\); got int64 \(2, 3\)"),
        ("cross-entropy", np.array([0, 3]), r"must lie in 0\.\.2; got 0\.\.3"),
        ("cross-entropy", np.array([-1, 0]), r"must lie in 0\.\.2; got -1\.\.0"),
        ("hinge", np.zeros((2, 3)), "loss must be one of mse, cross-entropy; got 'hinge'"),
    ],
)
def test_a_target_that_does_not_fit_is_one_line(loss, target, line):
    with pytest.raises(UsageError, match=line) as raised:
        loss_and_gradient(loss, np.zeros((2, 3)), target)
    assert "\n" not in str(raised.value)


# ---- Adam ------------------------------------------------------------------------------------------------------------


def adam_by_hand(settings: Adam, start: float, gradients: list[float]) -> list[float]:
    """Algorithm 1 of Kingma and Ba 2015, line by line, for one number."""
    theta, m, v, path = start, 0.0, 0.0, []
    for t, g in enumerate(gradients, 1):
        m = settings.beta1 * m + (1 - settings.beta1) * g
        v = settings.beta2 * v + (1 - settings.beta2) * g**2
        m_hat, v_hat = m / (1 - settings.beta1**t), v / (1 - settings.beta2**t)
        theta = theta - settings.learning_rate * m_hat / (math.sqrt(v_hat) + settings.epsilon)
        path.append(theta)
    return path


@pytest.mark.parametrize("settings", [Adam(), Adam(learning_rate=0.3, beta1=0.5, beta2=0.9, epsilon=1e-2)])
def test_adam_is_algorithm_1(settings):
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(3), rng.standard_normal((20, 3)) * [1e-6, 1, 1e6]
    params = {"a": start[:2].copy(), "b": start[2:].copy()}
    state = AdamState(settings, params)
    path = []
    for g in gradients:
        state.update(params, {"a": g[:2], "b": g[2:]})
        path.append(np.concatenate([params["a"], params["b"]]))
    expected = [adam_by_hand(settings, start[k], gradients[:, k].tolist()) for k in range(3)]
    np.testing.assert_allclose(np.array(path).T, expected, rtol=1e-12)


def test_the_first_step_of_adam_is_the_learning_rate_against_the_sign():
    params = {"a": np.zeros(3)}
    AdamState(Adam(learning_rate=0.1), params).update(params, {"a": np.array([5.0, -0.02, 0.0])})
    np.testing.assert_allclose(params["a"], [-0.1, 0.1, 0], rtol=1e-6)  # ε against 0.02


def test_clipping_is_by_the_joint_norm():
    settings = Adam(learning_rate=0.1, epsilon=1.0, clip_norm=1.0)  # with so large an ε the scale shows in the step
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    params = {"a": np.zeros(2), "b": np.zeros((1, 1))}
    AdamState(settings, params).update(params, gradients)
    for name, expected in (("a", [0.6, 0.0]), ("b", [[0.8]])):
        clipped = np.array(expected)
        np.testing.assert_allclose(params[name], -0.1 * clipped / (np.abs(clipped) + 1.0), rtol=1e-14)
    np.testing.assert_array_equal(gradients["a"], [3.0, 0.0])  # the caller's arrays are left alone


def test_a_step_s_scales_undo_the_moments_bias():
    assert Adam(0.5, beta1=0.5, beta2=0.75).scales(2) == (0.5 / 0.75, 1 / 0.4375)


def test_clipping_scales_down_only():
    assert Adam(clip_norm=2.0).clip_scale(4.0) == 0.5
    assert Adam(clip_norm=2.0).clip_scale(2.0) == 1.0
    assert Adam(clip_norm=2.0).clip_scale(0.0) == 1.0
    assert Adam(clip_norm=None).clip_scale(1e9) == 1.0


def test_adam_keeps_float32():
    params = {"a": np.ones(3, np.float32)}
    state = AdamState(Adam(clip_norm=0.5), params)
    state.update(params, {"a": np.full(3, 2, np.float32)})
    arrays = (params["a"], state.mean["a"], state.square["a"])
    assert {value.dtype for value in arrays} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"learning_rate": 0}, "the learning rate must be a positive number; got 0"),
        ({"learning_rate": -1e-3}, "the learning rate must be a positive number; got -0.001"),
        ({"learning_rate": math.nan}, "the learning rate must be a positive number; got nan"),
        ({"learning_rate": math.inf}, "the learning rate must be a positive number; got inf"),
        ({"learning_rate": "1e-3"}, "the learning rate must be a positive number; got '1e-3'"),
        ({"learning_rate": True}, "the learning rate must be a positive number; got True"),
        ({"learning_rate": 1j}, "the learning rate must be a positive number; got 1j"),
        ({"learning_rate": np.ones(1)}, "the learning rate must be a positive number; got array([1.])"),
        ({"beta1": (0.9,)}, "beta1 must be a number in 0..1, and not 1; got (0.9,)"),
        ({"beta1": 1.0}, "beta1 must be a number in 0..1, and not 1; got 1.0"),
        ({"beta2": "0.99"}, "beta2 must be a number in 0..1, and not 1; got '0.99'"),
        ({"beta2": -0.1}, "beta2 must be a number in 0..1, and not 1; got -0.1"),
        ({"epsilon": 0.0}, "epsilon must be a positive number; got 0.0"),
        ({"epsilon": None}, "epsilon must be a positive number; got None"),
        ({"clip_norm": 0.0}, "the clipping norm must be a positive number; got 0.0"),
        ({"clip_norm": math.nan}, "the clipping norm must be a positive number; got nan"),
    ],
)
def test_settings_that_cannot_train_are_refused(wrong, line):
    with pytest.raises(UsageError, match=re.escape(line)):
        Adam(**wrong)
