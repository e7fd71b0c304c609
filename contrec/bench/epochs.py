"""An epoch of SASRec, GRU4Rec and LightGCN in the library's layout and in that of RecBole 1.2.1, on the same data."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from contrec import training
from contrec.baselines import sequences
from contrec.baselines.gru4rec import GRU4Rec
from contrec.baselines.sasrec import SASRec
from contrec.bench.harness import FAIR, OURS, REFERENCE, Bar, Benchmark, Check
from contrec.data.cases import take
from contrec.data.facets import make_catalogue
from contrec.data.interactions import Cases, Interactions, Split
from contrec.embeddings import lightgcn as graph
from contrec.relations import interaction_matrix

SAMPLES = 2048  # a batch of RecBole
LASTFM = {"n_users": 1091, "n_items": 3685, "n_rows": 52_670}
DIM, LAYERS, LR, WEIGHT_DECAY = 64, 3, 0.01, 1e-4  # of LightGCN; 64 dimensions in its paper and in RecBole


class Samples(NamedTuple):
    """One (history, target) pair a row: items, int64, (P, length), padded by 0 on the right.

    ``lengths`` and ``targets``: of the history and after it, (P,); ``whole``: length of the sequence that it begins,
    from whose end the library counts positions, (P,).
    """

    items: Tensor
    lengths: Tensor
    whole: Tensor
    targets: Tensor


def world(n_users: int, n_items: int, n_rows: int) -> Split:
    """Random sequences of distinct items, always the same, all for training: at least 5 rows a user, long tails."""
    rng = np.random.default_rng(0)
    weight = rng.lognormal(0, 1.4, n_users)  # half of LastFM's users have 19 rows or fewer, one has 900
    lengths = 5 + rng.multinomial(n_rows - 5 * n_users, weight / weight.sum())
    popularity = -0.8 * np.log(np.arange(n_items) + 30)
    taken = [np.argsort(-(popularity + rng.gumbel(size=n_items)))[:n] for n in lengths]
    taken = [rng.permutation(items) for items in taken]
    user = np.repeat(np.arange(n_users), [len(items) for items in taken])
    place = np.concatenate([np.arange(len(items)) for items in taken])
    names = np.arange(n_users).astype(str), np.arange(n_items).astype(str)
    none = Cases.from_histories([])
    train = Interactions(user, np.concatenate(taken), place, *names)
    return Split(train, none, none, none, make_catalogue(names[1]), "leave_one_out", {})


def expand(train: Interactions, length: int) -> Samples:
    """Every prefix of the library's :func:`windows` as a sample of its own."""
    rows, pieces = [], sequences.windows(train, length)
    for piece in range(len(pieces)):
        sequence = np.append(pieces.history(piece), pieces.target[piece])
        for n in range(1, len(sequence)):
            rows.append((np.pad(sequence[:n], (0, length - n)), n, len(sequence) - 1, sequence[n]))
    return Samples(*(torch.from_numpy(np.array(column)) for column in zip(*rows)))


class Expanded(nn.Module):
    """RecBole's layout: samples padded to full length, eager attention, of whose states the history's last is used."""

    def __init__(self, network: sequences.NextItem):
        super().__init__()
        self.network = network

    def forward(self, batch: Samples) -> dict[str, Tensor]:
        table = self.network.table.weight
        items, lengths, whole, targets = (x.to(table.device) for x in batch)
        with sdpa_kernel(SDPBackend.MATH):
            states = self.network.states(items, whole)[torch.arange(len(items)), lengths - 1]
        return {"total": F.cross_entropy(states @ table.T, targets)}


class Padded(nn.Module):
    """The usual modern layout: all positions at once, every sequence padded to ``length``, logits at padding too."""

    def __init__(self, network: sequences.NextItem, length: int):
        super().__init__()
        self.network, self.length = network, length

    def forward(self, batch: sequences.SequenceBatch) -> dict[str, Tensor]:
        table = self.network.table.weight
        right = (0, self.length - batch.items.shape[1])
        items, targets = F.pad(batch.items, right), F.pad(batch.targets, right, value=-1)
        logits = self.network.states(items.to(table.device), batch.lengths.to(table.device)) @ table.T
        loss = F.cross_entropy(logits.flatten(0, 1), targets.to(table.device).flatten(), ignore_index=-1)
        return {"total": loss}


def sasrec(device: str = "cpu", **sizes) -> Benchmark:
    """SASRec with the library's defaults, see :func:`next_item`."""
    return next_item("sasrec", SASRec(), 15, device, **sizes)


def gru4rec(device: str = "cpu", **sizes) -> Benchmark:
    """GRU4Rec with the library's defaults, see :func:`next_item`."""
    return next_item("gru4rec", GRU4Rec(), 4, device, **sizes)


def next_item(
    name: str, model: sequences.SequenceModel, bar: float, device: str, *, n_timed: int = 256, data: dict = LASTFM
) -> Benchmark:
    """A fixed part of an epoch, all pairs of the first ``n_timed`` users, by the library's loop with full softmax.

    The network is the same in all ways. Ways: one sample a pair, in batches of 2,048; all positions at once, padded to
    the model's length; the library's batches.

    In one process the ways are not quite on their own: once the first has run, glibc keeps freed memory instead of
    giving it back, and the library's batches save the page faults. Alone they took 1.5 times as long (0.42 s and 0.28 s
    of SASRec), and the first way was 11 times slower, not 16; keeping memory everywhere (mallopt) gave 16 again.
    """
    split = world(**data)
    part = replace(split, train=take(split.train, np.flatnonzero(split.train.user < n_timed)))
    torch.manual_seed(0)
    network = model.build(part).to(device)
    samples = expand(part.train, model.length)

    def shuffled(rng: np.random.Generator) -> list[Samples]:
        order = torch.from_numpy(rng.permutation(len(samples.items))).split(SAMPLES)
        return [Samples(*(column[rows] for column in samples)) for rows in order]

    layouts: dict[str, tuple[Callable, Callable]] = {
        REFERENCE: (Expanded, shuffled),
        FAIR: (lambda network: Padded(network, model.length), model.batches),
        OURS: (lambda network: network, model.batches),
    }

    def epoch(way: str) -> list:
        layout, batches = layouts[way]
        trained = []

        def of_epoch(_: int) -> list:
            trained.extend(batches(np.random.default_rng(0)))
            return trained

        loop = replace(model.loop, epochs=1)
        training.fit(layout(copy.deepcopy(network)), of_epoch, lambda: 0.0, loop, seed=0)
        return trained

    def check(results: dict[str, list]) -> list[Check]:
        own, checks = pairs(results[OURS]), []
        value, gradients = whole_loss(network, results[OURS])
        for way in (REFERENCE, FAIR):
            others = pairs(results[way])
            differ = (own - others).total() + (others - own).total()
            checks.append(Check(f"pairs of {way} and {OURS} that differ", differ, 0))
            loss, slopes = whole_loss(layouts[way][0](network), results[way])
            checks.append(Check(f"mean loss of all pairs, {way} and {OURS}, dropout off", abs(loss - value), 1e-5))
            apart = float((slopes - gradients).norm() / gradients.norm())
            checks.append(Check(f"gradients of it, {way} and {OURS}, relative", apart, 1e-5))
        return checks

    whole = len(split.train) - split.n_users
    shape = (
        f"{len(samples.items):,} pairs of {n_timed} users; a whole epoch has {whole / len(samples.items):.2f} times as "
        f"many, {whole:,};\n{split.n_items:,} items, d = {model.dim}, dropout {model.dropout}, batches of "
        f"{model.loop.batch_size} sequences or of {SAMPLES:,} samples of one pair;\n"
        f"what the first way leaves allocated serves {OURS}, which alone took 1.5 times as long (glibc)"
    )
    ways = {way: lambda way=way: epoch(way) for way in layouts}
    return Benchmark(f"epochs/{name}", shape, ways, check, [Bar(REFERENCE, bar)])


def pairs(batches: list) -> Counter:
    """How often each (history, target) is trained on."""
    found = Counter()
    for batch in batches:
        if isinstance(batch, Samples):
            ends = zip(range(len(batch.items)), batch.lengths.tolist(), batch.targets.tolist())
        else:
            places = (batch.targets >= 0).nonzero()
            ends = ((row, place + 1, int(batch.targets[row, place])) for row, place in places.tolist())
        items = batch.items.numpy()
        found.update((items[row, :length].tobytes(), target) for row, length, target in ends)
    return found


def whole_loss(layout: nn.Module, batches: list) -> tuple[float, Tensor]:
    """Mean loss over the pairs of all batches without dropout, and its gradients one after the other."""
    layout.eval().zero_grad()
    count = [int((batch.targets >= 0).sum()) for batch in batches]
    loss = 0.0
    for batch, n in zip(batches, count):
        value = layout(batch)["total"] * (n / sum(count))
        value.backward()
        loss += value.item()
    return loss, torch.cat([p.grad.flatten() for p in layout.parameters()])


def lightgcn(device: str = "cpu", *, data: dict = LASTFM, dim: int = DIM) -> Benchmark:
    """A whole epoch of LightGCN by BPR in batches of 2,048, graph and table made anew, on the CPU whatever the device.

    Ways: autograd through a sparse COO operator; through the library's CSR operator; the library. With 256 dimensions,
    the default of :class:`contrec.baselines.LightGCN`, the first took only 1.4 times as long as the library.
    """
    split = world(**data)
    matrix = interaction_matrix(split.train)

    def library() -> Tensor:
        settings = {"dim": dim, "layers": LAYERS, "lr": LR, "weight_decay": WEIGHT_DECAY}
        return graph.LightGCNEmbeddings.fit(
            split, loss="bpr", batch_size=SAMPLES, epochs=1, refit_epochs=1, standardise=False, **settings
        ).items

    def check(results: dict[str, Tensor]) -> list[Check]:
        stream = torch.Generator().manual_seed(0)
        model = graph.graph_model(sum(matrix.shape), dim, LAYERS, stream)
        table, operator = model.embedding.weight, graph.symmetric_operator(matrix)
        high = (*matrix.shape, matrix.shape[1])
        user, item, negative = (torch.randint(n, (SAMPLES,), generator=stream) for n in high)
        of = {OURS: model.get_embedding(operator), REFERENCE: propagated(coo_operator(matrix), table)}
        found = {}
        for way, vectors in of.items():
            users, items = vectors.split(matrix.shape)
            loss = (graph.bpr if way == OURS else softplus_bpr)(users[user], items[item], items[negative])
            found[way] = vectors.detach(), torch.autograd.grad(loss, table)[0], loss.detach()
        apart = [float((a - b).norm() / b.norm()) for a, b in zip(found[REFERENCE], found[OURS])]
        what = ("propagated vectors", "gradients of a batch", "loss of a batch")
        return [
            *(Check(f"{w}, {REFERENCE} and {OURS}, relative", a, 1e-5) for w, a in zip(what, apart)),
            *(
                Check(
                    f"item vectors after the epoch, {way} and {OURS}, relative",
                    float((results[way] - results[OURS]).norm() / results[OURS].norm()),
                    1e-3,
                )
                for way in (REFERENCE, FAIR)
            ),
        ]

    shape = (
        f"the whole epoch of {len(split.train):,} rows, {split.n_users:,} users, {split.n_items:,} items, d = {dim}, "
        f"{LAYERS} layers, BPR in batches of {SAMPLES:,}"
    )
    ways = {
        REFERENCE: lambda: by_autograd(matrix, coo_operator, dim),
        FAIR: lambda: by_autograd(matrix, graph.symmetric_operator, dim),
        OURS: library,
    }
    return Benchmark("epochs/lightgcn", shape, ways, check, [Bar(REFERENCE, 2)], repeats=7)


def coo_operator(matrix) -> Tensor:
    """The normalised graph of a 0/1 user-item CSR matrix (n, m): its edges both ways, COO, not coalesced."""
    user, item = (torch.from_numpy(x.astype(np.int64)) for x in matrix.nonzero())
    nodes = torch.stack([torch.cat([user, item + matrix.shape[0]]), torch.cat([item + matrix.shape[0], user])])
    degree = torch.bincount(nodes[0], minlength=sum(matrix.shape)).float()
    return torch.sparse_coo_tensor(nodes, degree[nodes].prod(0).rsqrt(), 2 * (len(degree),), check_invariants=True)


def propagated(operator: Tensor, layer_0: Tensor) -> Tensor:
    """Mean over the layers, each a sparse product that autograd turns round by itself; (n + m, d)."""
    layers = [layer_0]
    for _ in range(LAYERS):
        layers.append(torch.sparse.mm(operator, layers[-1]))
    return torch.stack(layers, dim=1).mean(dim=1)


def softplus_bpr(users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
    """BPR in its other form, all (B, d)."""
    return F.softplus((users * negatives).sum(1) - (users * items).sum(1)).mean()


class Autograd(nn.Module):
    """LightGCN by BPR, autograd through whatever operator it is given."""

    def __init__(self, n_users: int, operator: Tensor, dim: int):
        super().__init__()
        nodes = len(operator)
        self.table = nn.Parameter(0.1 * torch.randn(nodes, dim, generator=torch.Generator().manual_seed(0)))
        self.n_users, self.operator = n_users, operator

    def forward(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        user, item, negative = batch
        users, items = propagated(self.operator, self.table).tensor_split([self.n_users])
        layer_0 = self.table[torch.cat([user, item + self.n_users, negative + self.n_users])]
        penalty = layer_0.square().sum() / (2 * len(user))
        return {"total": softplus_bpr(users[user], items[item], items[negative]) + WEIGHT_DECAY * penalty}


def by_autograd(matrix, operator_of: Callable, dim: int) -> Tensor:
    """An epoch of LightGCN by the library's loop and draws; propagated item vectors after it, (m, d)."""
    module = Autograd(matrix.shape[0], operator_of(matrix), dim)
    loop = training.LoopConfig(epochs=1, batch_size=SAMPLES, lr=LR)
    training.fit(module, lambda epoch: graph.row_batches(matrix, SAMPLES, None, epoch), lambda: 0.0, loop, seed=0)
    with torch.no_grad():
        return propagated(module.operator, module.table)[matrix.shape[0] :]
