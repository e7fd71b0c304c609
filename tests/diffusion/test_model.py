from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from contrec.diffusion import Diffusion, DiffusionConfig, dispersive_loss, row_seeds

PAPER = DiffusionConfig(width=32, sampler_steps=10)
TUNED = DiffusionConfig(
    width=32, prediction_type="sample", head="direct", objective="cross_entropy", sampler="ddim", sampler_steps=5
)
ALWAYS = {"p_uncond": 0.0, "guidance_strength": 0.0}  # no condition is dropped
BOTH = pytest.mark.parametrize("config", [PAPER, TUNED], ids=["paper", "tuned"])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def make(config, dim=8, scatter=0.1):
    """A model whose weights are away from zero, as after training."""
    torch.manual_seed(0)
    model, g = Diffusion(dim, config), rng(1)
    with torch.no_grad():
        for p in model.parameters():
            p += scatter * torch.randn(p.shape, generator=g)
    return model


def batch(n=6, dim=8, m=20):
    g = rng(2)
    items = torch.randn(m, dim, generator=g)
    target = torch.randint(m, (n,), generator=g)
    c, user = torch.randn(n, 4, dim, generator=g), torch.randn(n, dim, generator=g)
    return items[target], c, {"user": user, "items": items, "target": target}


@BOTH
def test_gradient_reaches_the_condition_and_every_weight(config):
    config = dataclasses.replace(config, null_condition="learned", p_uncond=0.3)
    model, (y0, c, known) = make(config), batch(40)
    c.requires_grad_()
    losses = model.losses(y0, c, **known, generator=rng())
    assert set(losses) == {"diffusion", "dispersion"} and all(x.shape == () for x in losses.values())
    (losses["diffusion"] + losses["dispersion"]).backward()
    reached = c.grad.abs().sum((1, 2)) > 0
    assert reached.float().mean() > 0.5 and not reached.all()  # dropped rows get none
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@pytest.mark.parametrize("term", ["diffusion", "dispersion"])
@BOTH
def test_each_term_alone_reaches_the_condition(config, term):
    model, (y0, c, known) = make(dataclasses.replace(config, **ALWAYS)), batch()
    c.requires_grad_()
    model.losses(y0, c, **known, generator=rng())[term].backward()
    assert (c.grad.abs().sum((1, 2)) > 0).all()


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample"])
def test_mse_is_a_mean_over_dimensions_of_what_is_predicted(prediction_type, monkeypatch):
    model, (y0, c, _) = make(dataclasses.replace(PAPER, prediction_type=prediction_type)), batch(4000)
    h = torch.randn(4000, 32, generator=rng())
    monkeypatch.setattr(model.denoiser, "forward", lambda y, t, condition: (torch.zeros_like(y), h))
    losses = model.losses(3 * y0, c, generator=rng())
    expected = 1.0 if prediction_type == "epsilon" else (3 * y0).square().mean().item()
    assert losses["diffusion"].item() == pytest.approx(expected, rel=0.03)
    assert losses["dispersion"].item() == pytest.approx(dispersive_loss(h, 0.5).item())


def test_training_draws_its_steps_and_its_pure_noise_as_said(monkeypatch):
    model, (y0, c, known) = make(dataclasses.replace(TUNED, timesteps=10)), batch(4000)
    drawn = []
    forward = model.denoiser.forward
    monkeypatch.setattr(model.denoiser, "forward", lambda y, t, k: (drawn.append((y, t)), forward(y, t, k))[1])
    model.losses(100 + 0 * y0, c, **known, generator=rng())
    y, t = drawn[0]
    # half at T, and a tenth of the other half; of those at T only the share of that tenth still holds signal
    assert (t == 10).float().mean().item() == pytest.approx(0.55, abs=0.03)
    assert t.min() == 1 and (y[t == 10].mean(1).abs() > 5).float().mean().item() == pytest.approx(0.05 / 0.55, abs=0.03)


def test_cross_entropy_is_the_softmax_of_scaled_cosines():
    model, (y0, c, known) = make(dataclasses.replace(TUNED, **ALWAYS, terminal_share=1.0), scatter=0.0), batch()
    losses = model.losses(y0, c, **known, generator=rng())
    logits = 15 * F.normalize(known["user"], dim=1) @ F.normalize(known["items"], dim=1).T
    assert losses["diffusion"].item() == pytest.approx(F.cross_entropy(logits, known["target"]).item(), rel=1e-4)


def test_sampled_softmax_estimates_the_full_one():
    full, (y0, c, known) = make(dataclasses.replace(TUNED, **ALWAYS, dropout=0.0)), batch(m=500)
    few = Diffusion(8, dataclasses.replace(full.config, n_negatives=400))
    few.load_state_dict(full.state_dict())
    expected = full.losses(y0, c, **known, generator=rng())["diffusion"].item()
    estimate = few.losses(y0, c, **known, generator=rng())["diffusion"].item()
    assert estimate == pytest.approx(expected, rel=0.03) and estimate != expected


def test_a_draw_that_hits_the_target_is_no_negative():
    config = dataclasses.replace(TUNED, **ALWAYS, terminal_share=1.0, n_negatives=1)
    model, (_, c, known) = make(config, scatter=0.0), batch(1, m=2)
    known["target"][:] = 0
    cosine = F.normalize(known["user"], dim=1) @ F.normalize(known["items"], dim=1).T
    other = torch.log1p(2 * torch.exp(15 * (cosine[0, 1] - cosine[0, 0]))).item()  # one draw stands for two items
    drawn = [model.losses(known["items"][:1], c, **known, generator=rng(i))["diffusion"].item() for i in range(12)]
    assert {round(x, 3) for x in drawn} == {0.0, round(other, 3)}


@BOTH
def test_a_user_has_the_same_samples_in_any_batch(config):
    model, (_, c, known) = make(config), batch()
    user, items, seeds = known["user"], known["items"], row_seeds(3, torch.arange(6))
    whole = model.sample(c, user=user, items=items, seeds=seeds, n_samples=3, guidance_strength=2.0)
    order = torch.tensor([5, 2, 0])
    part = model.sample(c[order], user=user[order], items=items, seeds=seeds[order], n_samples=2, guidance_strength=2.0)
    assert whole.shape == (6, 3, 8)
    torch.testing.assert_close(part, whole[order, :2], rtol=1e-4, atol=1e-4)
    assert (whole[:, 0] - whole[:, 1]).abs().max() > 1e-3  # samples of one user differ


@BOTH
def test_no_guidance_is_one_call_and_agrees_with_its_limit(config):
    model, (_, c, known) = make(config), batch()
    settings = {"user": known["user"], "items": known["items"], "seeds": row_seeds(0, torch.arange(6))}
    without = model.sample(c, guidance_strength=0.0, **settings)
    torch.testing.assert_close(model.sample(c, guidance_strength=1e-9, **settings), without, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(model.sample(c, guidance_strength=4.0, **settings), without, rtol=1e-3, atol=1e-3)


@BOTH
def test_trajectory_ends_at_the_sample(config):
    model, (_, c, known) = make(config), batch()
    settings = {"seeds": row_seeds(0, torch.arange(6)), "items": known["items"], "n_samples": 2}
    path = model.sample(c, **settings, trajectory=True)
    assert path.shape == (config.sampler_steps + 1, 6, 2, 8)
    assert torch.equal(path[-1], model.sample(c, **settings))


def test_samples_of_a_cross_entropy_head_are_mean_items():
    """Score interpolation: the last step returns x0, so a sample lies in the convex hull of the catalogue."""
    model, (_, c, known) = make(TUNED), batch(m=2)
    y = model.sample(c, items=known["items"], seeds=row_seeds(0, torch.arange(6)))[:, 0]
    a, b = known["items"]
    share = ((y - a) @ (b - a)) / (b - a).square().sum()
    torch.testing.assert_close(y, a + share[:, None] * (b - a), rtol=1e-4, atol=1e-4)
    assert (share >= -1e-4).all() and (share <= 1 + 1e-4).all()
    with pytest.raises(ValueError, match="needs items"):
        model.sample(c, seeds=row_seeds(0, torch.arange(6)))


def test_the_mean_item_is_weighed_as_the_loss_weighs():
    """By hand: softmax of scale x cosine, the logits that the cross-entropy trains, over two items."""
    model = make(TUNED)
    with torch.no_grad():
        model.log_scale.fill_(math.log(2.0))
    items = torch.zeros(2, 8)
    items[0, 0], items[1, 1] = 1.0, 3.0
    x0 = torch.zeros(1, 8)
    x0[0, 0] = 5.0  # cosines 1 and 0: weights e^2 : 1
    share = math.exp(2) / (math.exp(2) + 1)
    expected = torch.zeros(1, 8)
    expected[0, 0], expected[0, 1] = share, 3 * (1 - share)
    torch.testing.assert_close(model.best_guess(x0, torch.tensor([9]), x0, items), expected)


@BOTH
def test_answers_are_repeatable_and_leave_the_mode_alone(config):
    model, (_, c, known) = make(config).train(), batch()
    seeds = row_seeds(0, torch.arange(6))
    assert torch.equal(model.point(c, user=known["user"]), model.point(c, user=known["user"]))
    settings = {"seeds": seeds, "items": known["items"]}
    assert torch.equal(model.sample(c, **settings), model.sample(c, **settings))
    assert model.training and model.point(c).shape == (6, 8)


def test_point_of_the_direct_head_is_its_query():
    model, (_, c, known) = make(TUNED).eval(), batch()
    torch.testing.assert_close(model.point(c, user=known["user"]), model.denoiser.encode(c, known["user"]).query)


def test_point_is_x0_at_pure_noise():
    model, (_, c, _) = make(PAPER).eval(), batch()
    T = torch.full((6,), 1000)
    epsilon, _ = model.denoiser(torch.zeros(6, 8), T, model.denoiser.encode(c))
    a = model.schedule.at(1000)
    torch.testing.assert_close(model.point(c), -math.sqrt((1 - a) / a) * epsilon, rtol=1e-4, atol=1e-4)


def test_state_holds_weights_only():
    assert not [k for k in Diffusion(8, TUNED).state_dict() if "alpha_bar" in k or "frequencies" in k or "weight" == k]


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        (DiffusionConfig(width=64, dropout=0.0), 400),
        (dataclasses.replace(TUNED, dropout=0.0, objective="mse"), 200),
    ],
    ids=["epsilon", "direct"],
)
def test_it_learns_a_conditional_target(config, steps):
    """Two conditions, each with its own cluster of targets: samples must fall into the cluster that was asked for."""
    torch.manual_seed(0)
    model, g = Diffusion(4, config, n_condition=1), rng()
    centres = torch.tensor([[2.0, 0.0, 1.0, 0.0], [-1.0, 2.0, 0.0, -1.0]])
    signs = torch.tensor([[1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        kind = torch.randint(2, (128,), generator=g)
        y0 = centres[kind] + 0.2 * torch.randn(128, 4, generator=g)
        loss = model.losses(y0, signs[kind][:, None], generator=g)["diffusion"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    kind = torch.arange(200) % 2
    seeds = row_seeds(0, torch.arange(200))
    y = model.sample(signs[kind][:, None], seeds=seeds, sampler="ddpm", steps=50, guidance_strength=0.0)[:, 0]
    assert (torch.cdist(y, centres).argmin(1) == kind).float().mean() > 0.95
    for k in (0, 1):
        assert (y[kind == k].mean(0) - centres[k]).norm() < 0.35


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prediction_type", "v", "prediction_type must be one of"),
        ("objective", "bpr", "objective must be one of"),
        ("sampler", "euler", "sampler must be one of"),
        ("schedule", "sqrt", "schedule must be one of"),
        ("guidance_strength", -1.0, "guidance_strength must lie in"),
        ("sampler_steps", 1001, "sampler_steps must lie in"),
        ("p_uncond", 1.2, r"p_uncond must lie in \[0, 1\], got 1.2"),
        ("temperature", 0.0, "temperature must be positive"),
        ("n_negatives", 0, "n_negatives must be a whole number"),
        ("head", "direct", "needs prediction_type 'sample'"),
        ("denoiser", "unet", "denoiser must be one of"),
        ("pairing", "none", "pairing must be one of"),
        ("dispersion_on", "input", "dispersion_on must be one of"),
        ("dispersion_sign", 0, "dispersion_sign must be one of"),
        ("negatives", "none", "negatives must be one of"),
        ("null_condition", "zero", "null_condition must be one of"),
        ("width", 0, "width must be a whole number"),
        ("n_samples", 0, "n_samples must be a whole number"),
        ("noise_draws", 0, "noise_draws must be a whole number"),
        ("n_negative_items", 0, "n_negative_items must be a whole number"),
        ("sampler_steps", 0, "sampler_steps must be a whole number"),
        ("n_blocks", -1, "n_blocks must lie in"),
        ("sampler_start", 0, "sampler_start must lie in"),
        ("sampler_start", 1001, "sampler_start must lie in"),
        ("dropout", -0.5, "dropout must lie in"),
        ("terminal_share", 1.5, "terminal_share must lie in"),
    ],
)
def test_settings_are_checked(field, value, message):
    with pytest.raises(ValueError, match=message):
        DiffusionConfig(**{field: value})


def test_missing_input_is_named():
    model, (y0, c, _) = make(TUNED), batch()
    with pytest.raises(ValueError, match="needs items"):
        model.losses(y0, c, generator=rng())
    with pytest.raises(ValueError, match="one seed for each of 6 users"):
        model.sample(c, seeds=torch.arange(5))


# -- what the released codes do ---------------------------------------------------------------------------------------


def losses_of(y0, c, extra, seed=3, **settings):
    config = dataclasses.replace(PAPER, **ALWAYS, dropout=0.0, **settings)
    return make(config).losses(y0, c, **extra, generator=rng(seed))


@pytest.mark.parametrize("pairing", ["own", "all"])
def test_all_pairs_teach_nothing_about_conditions(pairing):
    # planted: the condition says which of two far points is meant; RELEASED.md: with all pairs it is at chance
    side = torch.tensor([1.0, -1.0]).repeat(8)
    y0, c = 2 * side[:, None].expand(-1, 3), side[:, None, None] * torch.randn(1, 4, 3, generator=rng(5))
    torch.manual_seed(0)
    config = dataclasses.replace(PAPER, **ALWAYS, dropout=0.0, pairing=pairing, prediction_type="sample")
    model = Diffusion(3, config)
    optimizer, g = torch.optim.Adam(model.parameters(), 3e-3), rng(1)
    for _ in range(60):
        optimizer.zero_grad()
        model.losses(y0, c, generator=g)["diffusion"].backward()
        optimizer.step()
    told = (model.point(c)[:, 0] * side).mean()  # 2 where the condition decides, 0 where it says nothing
    assert (told > 1.5) if pairing == "own" else (abs(told) < 0.3)


def test_every_condition_meets_every_target():
    y0, c, _ = batch()
    model, seen = make(dataclasses.replace(PAPER, **ALWAYS, dropout=0.0, pairing="all")), []
    model.denoiser.register_forward_hook(lambda _, inputs, __: seen.append(inputs))
    model.losses(y0, c, generator=rng())
    y_t, t, condition = seen[0]
    assert len(y_t) == 36 and (t.view(6, 6) == t.view(6, 6)[:, :1]).all()  # a condition has one step
    rows = condition.fused.view(6, 6, -1)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))


def test_one_row_alone_is_its_own_pair():
    y0, c, extra = batch(1)
    own, every = (losses_of(y0, c, {}, pairing=pairing)["diffusion"] for pairing in ("own", "all"))
    torch.testing.assert_close(own, every)


def test_the_dispersive_term_can_be_turned_round():
    y0, c, _ = batch()
    plus, minus = (losses_of(y0, c, {}, dispersion_sign=sign)["dispersion"] for sign in (1, -1))
    torch.testing.assert_close(plus, -minus)
    config = dataclasses.replace(
        PAPER, **ALWAYS, dropout=0.0, prediction_type="sample", dispersion_on="prediction", temperature=1.0
    )
    model, seen = make(config), []
    model.denoiser.register_forward_hook(lambda *arguments: seen.append(arguments[2][0]))
    found = model.losses(y0, c, generator=rng(3))["dispersion"]
    x0 = seen[0]
    # as coded: -log((1 / B^2) sum exp(-||y_i - y_b||^2 / d)), here with the sign of Eq. (19)
    expected = torch.exp(-torch.cdist(x0, x0).square() / x0.shape[1]).mean().log()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_sampling_can_start_late_from_pure_noise():
    y0, c, _ = batch()
    model = make(
        dataclasses.replace(PAPER, sampler="ddim", sampler_start=100, sampler_steps=100, guidance_strength=0.0)
    )
    times = []
    model.denoiser.register_forward_hook(lambda _, inputs, __: times.append(int(inputs[1][0])))
    path = model.sample(c, seeds=torch.arange(6), trajectory=True)
    assert times == list(range(100, 0, -1)) and 0.7 < float(path[0].std()) < 1.3
    with pytest.raises(ValueError, match="sampler_steps"):
        DiffusionConfig(sampler_start=50, sampler_steps=100)


def test_without_diffusion_noise_is_all_that_is_seen():
    y0, c, extra = batch()
    config = dataclasses.replace(PAPER, prediction_type="sample", terminal_share=1.0, **ALWAYS)
    model, times = make(config), []
    model.denoiser.register_forward_hook(lambda _, inputs, __: times.append(inputs[1]))
    model.losses(y0, c, generator=rng())
    assert (times[0] == config.timesteps).all()
    with pytest.raises(ValueError, match="terminal_share=1 needs"):
        DiffusionConfig(terminal_share=1.0)


def test_defaults_are_what_the_papers_and_codes_print():
    c = DiffusionConfig()
    # Sect. 4.1.4, ContRec: T, zeta, tau, steps; one vector a user
    assert (c.timesteps, c.p_uncond, c.temperature, c.sampler, c.sampler_steps) == (1000, 0.1, 0.5, "ddpm", 100)
    assert (c.n_samples, c.prediction_type, c.objective, c.head) == (1, "epsilon", "mse", "plain")
    assert (c.guidance_strength, c.dropout, c.n_negative_items) == (
        2.0,
        0.1,
        10,
    )  # released codes; Sect. 3.1.4, DeftRec
    assert (c.width, c.n_blocks, c.terminal_share, c.noise_draws, c.dispersion_sign) == (256, 2, 0.5, 1, 1)  # ours


@pytest.mark.parametrize("null_condition", ["random", "learned"])
def test_nothing_guides_away_from_a_condition_that_was_never_trained(null_condition):
    told = "guidance_strength=2 needs p_uncond above 0: .* the null condition .* was never trained"
    with pytest.raises(ValueError, match=told):
        DiffusionConfig(p_uncond=0.0, null_condition=null_condition)
    model, (_, c, _) = make(dataclasses.replace(PAPER, **ALWAYS, null_condition=null_condition)), batch()
    with pytest.raises(ValueError, match=told):
        model.sample(c, seeds=torch.arange(6), guidance_strength=2.0)
    assert model.sample(c, seeds=torch.arange(6)).shape == (6, 1, 8)


def test_a_negative_guidance_is_told():
    model, (_, c, _) = make(PAPER), batch()
    with pytest.raises(ValueError, match="guidance_strength must lie in"):
        model.sample(c, seeds=torch.arange(6), guidance_strength=-0.5)
    with pytest.raises(ValueError, match="n_samples must be a whole number"):
        model.sample(c, seeds=torch.arange(6), n_samples=0)
    assert model.sample(c, seeds=torch.arange(6), steps=1).shape == (6, 1, 8)  # unless asked for, no trajectory


@pytest.mark.parametrize("n_negatives", [4, 9, None])
def test_as_many_negatives_as_items_or_more_are_the_whole_catalogue(n_negatives):
    model, (y0, c, known) = make(dataclasses.replace(TUNED, **ALWAYS, dropout=0.0)), batch(m=4)
    few = Diffusion(8, dataclasses.replace(model.config, n_negatives=n_negatives))
    few.load_state_dict(model.state_dict())
    expected, got = (x.losses(y0, c, **known, generator=rng())["diffusion"] for x in (model, few))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("pairing", ["own", "all"])
def test_two_draws_are_each_row_twice_and_one_of_them_disperses(pairing):
    y0, c, extra = batch()
    extra["negative"] = torch.randn(6, 8, generator=rng(8))
    settings = dataclasses.replace(TUNED, p_uncond=0.3, dropout=0.0, noise_draws=2, pairing=pairing)
    model, states = make(settings), []
    model.denoiser.register_forward_hook(lambda *arguments: states.append(arguments[2][1]))
    got = model.losses(y0, c, **extra, generator=rng(3))
    once = make(dataclasses.replace(settings, noise_draws=1))
    twice = [x.repeat_interleave(2, dim=0) for x in (y0, c)]
    more = {name: x if name == "items" else x.repeat_interleave(2, dim=0) for name, x in extra.items()}
    expected = once.losses(*twice, **more, generator=rng(3))
    for name in ("diffusion", "negative"):
        torch.testing.assert_close(got[name], expected[name])
    # of all pairs, those of a condition with its own target; of those the first of two draws
    own = states[0][:: 13 if pairing == "all" else 1][::2]
    torch.testing.assert_close(got["dispersion"], dispersive_loss(own, 0.5))


@pytest.mark.parametrize("trajectory", [False, True])
def test_users_drawn_in_blocks_are_those_drawn_at_once(trajectory, monkeypatch):
    model, (_, c, known) = make(TUNED), batch()
    settings = {"seeds": torch.arange(6), "items": known["items"], "user": known["user"], "n_samples": 2}
    whole = model.sample(c, **settings, trajectory=trajectory)
    monkeypatch.setattr("contrec.diffusion.model.rows_at_once", lambda *_, **__: 4)
    torch.testing.assert_close(model.sample(c, **settings, trajectory=trajectory), whole, rtol=1e-4, atol=1e-4)
