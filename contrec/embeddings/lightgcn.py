"""LightGCN (He et al., SIGIR 2020): collaborative vectors, used propagated, with users made from what they show."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy.sparse import bmat, diags
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from contrec import training
from contrec.checks import DataError, in_range, one_of, positive
from contrec.data.interactions import Cases, Split
from contrec.embeddings.base import Embeddings, Ranker
from contrec.relations import interaction_matrix


class LightGCNEmbeddings(Embeddings):
    r"""Item vectors e_j: the mean over layers 0..L of the propagation by the normalised user-item graph.

    user = |N|^-1/2 sum_{i in N} d_i^-1/2 e_i, N the visible history, d_i the users of item i in train (at least 1): one
    propagation step that leaves the target's edge out. Un-propagated layer-0 vectors rank less than half as well.
    """

    kind = "lightgcn"

    def __init__(self, items: Tensor, degrees: Tensor, settings: dict):
        self.items, self.degrees, self.settings = items, degrees, settings

    @classmethod
    def fit(
        cls,
        split: Split,
        *,
        seed: int = 0,
        progress: bool = False,
        dim: int = 128,
        layers: int = 3,
        loss: str = "softmax",
        temperature: float = 0.15,
        negatives: int = 256,
        batch_size: int = 4096,
        lr: float = 0.01,
        weight_decay: float = 1e-4,
        epochs: int = 100,
        patience: int = 16,
        standardise: bool = True,
        propagate: bool = True,
        refit_epochs: int | None = None,
    ) -> LightGCNEmbeddings:
        """Train on ``split.train``; the validation cases choose the epoch by NDCG@10 of the inductive user vectors.

        Args:
            split: training reads train rows only, stopping reads at most 2,000 validation cases.
            seed: of the weights, the batches and the negatives.
            progress: show a bar over the epochs.
            dim, layers: width d and L; 64 and 3 in the LightGCN paper, 128 chosen on LastFM validation (64 .. 256).
            loss: "softmax" (cosine, ``negatives`` shared uniform ones, for vectors that are compared by cosine) | "bpr"
                (one uniform negative, inner product, as in the paper; its cosine loses a quarter of NDCG@10).
            temperature: tau of the softmax, greater than 0.
            batch_size, lr, epochs: of :class:`contrec.training.LoopConfig`; an epoch sees each train row once.
            weight_decay: of the squared layer-0 vectors of the batch, half their sum over its rows, as in LightGCN:
                those of users, items and negatives.
            patience: epochs without a better validation value before stopping.
            standardise: scale each dimension to unit variance over the train items; False keeps trained lengths.
            propagate: False keeps the vectors of layer 0, as both released codes do.
            refit_epochs: how many epochs are trained, as validation has chosen before; None: validation chooses.

        Raises:
            ValueError: if a setting is out of range.
            DataError: if there is neither a validation case nor ``refit_epochs``.
        """
        one_of("loss", loss, ("bpr", "softmax"))
        for name, value in (("dim", dim), ("layers", layers), ("negatives", negatives), ("batch_size", batch_size)):
            positive(name, value)
        for name, value in (("epochs", epochs), ("patience", patience)):
            positive(name, value)
        in_range("weight_decay", weight_decay, 0, np.inf)
        for name, value in (("temperature", temperature), ("lr", lr)):
            if not value > 0:
                raise ValueError(f"{name} must be greater than 0, got {value}")
        if refit_epochs is None and not len(split.validation):
            raise DataError(
                f"{split.train.name}: no validation case chooses LightGCN's epoch; a refit gives refit_epochs, the "
                "epochs chosen on the split without refit"
            )
        matrix = interaction_matrix(split.train)
        degrees = torch.from_numpy(np.maximum(np.asarray(matrix.sum(0)).ravel(), 1).astype(np.float32))
        network = Graph(matrix, dim, layers, seed, loss, temperature, weight_decay)
        n_negatives = None if loss == "bpr" else negatives

        def batches(epoch: int) -> list[tuple[Tensor, Tensor, Tensor]]:
            return row_batches(matrix, batch_size, n_negatives, (seed * 1_000_003 + epoch) % training.SEEDS)

        def quality() -> float:
            with torch.no_grad():
                items = network.vectors()[1].clone()
            return Ranker(cls(items, degrees, {}), cosine=loss == "softmax").quality(split.validation, seed=seed)

        loop = training.LoopConfig(epochs=epochs, batch_size=batch_size, lr=lr, patience=patience)
        done = training.fit(
            network, batches, quality, loop, seed=seed, epochs=refit_epochs, progress=progress, name="LightGCN"
        )
        with torch.no_grad():
            kept = network.vectors()[1].clone()
            if not propagate:
                kept = network.model.embedding.weight[network.n_users :].clone()
        if standardise:
            kept = unit_variance(kept, split.train.item)
        settings = {
            "dim": dim, "layers": layers, "loss": loss, "temperature": temperature, "negatives": negatives,
            "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay, "epochs": epochs, "patience": patience,
            "standardise": standardise, "propagate": propagate, "seed": seed,
            "chosen_epochs": training.chosen_epochs(done, loop),
        }  # fmt: skip
        return cls(kept, degrees, settings)

    def users(self, cases: Cases, held_out: bool = False) -> Tensor:
        """Float32, shape (B, d); the same for ``held_out``, as item vectors cannot be refitted without each user."""
        history = cases.history_matrix(len(self.items))
        length = np.maximum(np.diff(history.indptr), 1).astype(np.float32)
        rows = self.items / self.degrees.sqrt()[:, None]
        return torch.from_numpy((history @ rows.numpy()) / np.sqrt(length)[:, None])

    def chosen(self) -> dict:
        return {"refit_epochs": self.settings["chosen_epochs"]}

    def tensors(self) -> dict[str, Tensor]:
        return {"items": self.items, "degrees": self.degrees}

    @classmethod
    def _restore(cls, tensors, settings):
        return cls(tensors["items"], tensors["degrees"], settings)


def row_batches(matrix, batch_size: int, negatives: int | None, seed: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Train rows in random order with uniform negatives: (user, item, negative) batches, int64.

    Args:
        matrix: 0/1 user-item CSR matrix, shape (n, m).
        batch_size: rows of a batch.
        negatives: of each batch, shared by its rows; None: one for each row.
        seed: of order and negatives.
    """
    stream = torch.Generator().manual_seed(seed)
    rows = torch.from_numpy(np.stack(matrix.nonzero()).astype(np.int64))
    parts = rows[:, torch.randperm(rows.shape[1], generator=stream)].split(batch_size, dim=1)
    count = [negatives or part.shape[1] for part in parts]
    return [(*part, torch.randint(matrix.shape[1], (n,), generator=stream)) for part, n in zip(parts, count)]


class Graph(nn.Module):
    """LightGCN with its loss, for :func:`contrec.training.fit`; a batch is (user, item, negative), int64.

    Args:
        matrix: 0/1 user-item CSR matrix, shape (n, m).
        dim, layers, loss, temperature, weight_decay: see :meth:`LightGCNEmbeddings.fit`.
        seed: of layer 0.
    """

    def __init__(self, matrix, dim: int, layers: int, seed: int, loss: str, temperature: float, weight_decay: float):
        super().__init__()
        self.n_users = matrix.shape[0]
        self.model = graph_model(sum(matrix.shape), dim, layers, torch.Generator().manual_seed(seed))
        self.register_buffer("operator", symmetric_operator(matrix), persistent=False)
        self.loss, self.temperature, self.weight_decay = loss, temperature, weight_decay

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Propagated users (n, d) and items (m, d)."""
        vectors = self.model.get_embedding(self.operator)
        return vectors[: self.n_users], vectors[self.n_users :]

    def forward(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        user, item, negative = batch
        users, items = self.vectors()
        if self.loss == "bpr":
            value = bpr(users[user], items[item], items[negative])
        else:
            value = softmax(users[user], items[item], items[negative], item, negative, self.temperature)
        layer_0 = self.model.embedding(torch.cat([user, item + self.n_users, negative + self.n_users]))
        return {"total": value + self.weight_decay * layer_0.square().sum() / (2 * len(user))}


def graph_model(n_nodes: int, dim: int, layers: int, generator: torch.Generator):
    """PyTorch Geometric's LightGCN, layer 0 from N(0, 0.1), whose convolutions take a symmetric sparse operator."""
    from torch_geometric.nn.models import LightGCN

    model = LightGCN(n_nodes, dim, 0)  # its own convolutions leave a file in the temporary folder, one for each process
    model.num_layers, model.alpha = layers, torch.full((layers + 1,), 1 / (layers + 1))
    model.convs = nn.ModuleList([SymmetricConv() for _ in range(layers)])
    with torch.no_grad():
        model.embedding.weight.copy_(0.1 * torch.randn(n_nodes, dim, generator=generator))
    return model


class SymmetricConv(nn.Module):
    """LGConv as one sparse product: six times as fast as over an edge list, since the operator is its own transpose."""

    def forward(self, x: Tensor, operator: Tensor, edge_weight=None) -> Tensor:
        """x (N, d), operator: sparse CSR, symmetric, shape (N, N)."""
        return _SymmetricProduct.apply(operator, x)


class _SymmetricProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, operator, x):
        ctx.operator = operator
        return operator @ x

    @staticmethod
    def backward(ctx, gradient):
        return None, ctx.operator @ gradient


def symmetric_operator(matrix) -> Tensor:
    """D^-1/2 A D^-1/2 of the user-item graph, users first: sparse CSR float32, shape (n + m, n + m).

    Args:
        matrix: 0/1 user-item CSR matrix, shape (n, m). Nodes without an edge stay isolated.
    """
    user, item = (np.maximum(np.asarray(matrix.sum(axis)).ravel(), 1) ** -0.5 for axis in (1, 0))
    edges = diags(user) @ matrix @ diags(item)
    whole = bmat([[None, edges], [edges.T, None]], format="csr", dtype=np.float32)
    return sparse_tensor(whole)


def sparse_tensor(matrix) -> Tensor:
    """A scipy CSR matrix as a sparse CSR tensor of the same shape and values."""
    index = [torch.from_numpy(a.astype(np.int64)) for a in (matrix.indptr, matrix.indices)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(*index, torch.from_numpy(matrix.data), matrix.shape, check_invariants=True)


def bpr(users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
    """-mean log sigmoid(u.i - u.n), all (B, d)."""
    return -logsigmoid((users * (items - negatives)).sum(1)).mean()


def softmax(users, items, negatives, item, negative, temperature: float) -> Tensor:
    """Cross-entropy of cosines / tau: the own item against shared negatives (those equal to it are left out).

    Args:
        users, items: (B, d).
        negatives: (N, d).
        item, negative: their item numbers, (B,) and (N,).
    """
    users, items, negatives = (normalize(x, dim=1) for x in (users, items, negatives))
    own = (users * items).sum(1, keepdim=True)
    others = (users @ negatives.T).masked_fill(item[:, None] == negative[None], -torch.inf)
    logits = torch.cat([own, others], dim=1) / temperature
    return cross_entropy(logits, torch.zeros(len(users), dtype=torch.long))


def unit_variance(vectors: Tensor, train_items: np.ndarray) -> Tensor:
    """Each dimension divided by its standard deviation over the distinct train items; means stay where they are.

    The mean carries popularity (taking it off costs a quarter of LastFM's cosine NDCG), and noise of variance 1 asks
    only for the scale.
    """
    known = torch.from_numpy(np.unique(train_items))
    return vectors / vectors[known].std(0).clamp_min(1e-12) if len(known) > 1 else vectors
