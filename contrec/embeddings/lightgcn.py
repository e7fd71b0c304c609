"""LightGCN (He et al., SIGIR 2020): collaborative vectors, used propagated, with users made from what they show."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy.sparse import bmat, diags
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize
from tqdm.auto import tqdm

from contrec.baselines.matrices import interaction_matrix
from contrec.checks import in_range, one_of, positive
from contrec.data.interactions import Cases, Split
from contrec.embeddings.base import Embeddings, Ranker


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
        patience: int = 8,
        standardise: bool = True,
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
            batch_size, lr, epochs: Adam; an epoch sees each train row once.
            weight_decay: of the squared layer-0 vectors of the batch, as in LightGCN.
            patience: looks at validation (every other epoch) without a better value before stopping.
            standardise: scale each dimension to unit variance over the train items; False keeps trained lengths.

        Raises:
            ValueError: if a setting is out of range.
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
        matrix = interaction_matrix(split.train)
        degrees = torch.from_numpy(np.maximum(np.asarray(matrix.sum(0)).ravel(), 1).astype(np.float32))
        generator = torch.Generator().manual_seed(seed)
        model = graph_model(matrix.shape[0] + matrix.shape[1], dim, layers, generator)
        operator = symmetric_operator(matrix)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        rows = torch.from_numpy(np.stack(matrix.nonzero()).astype(np.int64))
        best, kept, since = -1.0, None, 0
        for epoch in tqdm(range(epochs), desc="LightGCN", disable=not progress):
            for part in torch.randperm(rows.shape[1], generator=generator).split(batch_size):
                user, item = rows[:, part]
                n_negatives = len(part) if loss == "bpr" else negatives
                negative = torch.randint(matrix.shape[1], (n_negatives,), generator=generator)
                vectors = model.get_embedding(operator)
                users, items = vectors[: matrix.shape[0]], vectors[matrix.shape[0] :]
                if loss == "bpr":
                    value = bpr(users[user], items[item], items[negative])
                else:
                    value = softmax(users[user], items[item], items[negative], item, negative, temperature)
                layer_0 = model.embedding(torch.cat([user, item + matrix.shape[0]]))
                value = value + weight_decay * layer_0.square().sum() / (2 * len(part))
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
            if epoch % 2 == 0 and epoch + 1 < epochs:
                continue
            with torch.no_grad():
                items = model.get_embedding(operator)[matrix.shape[0] :].clone()
            quality = Ranker(cls(items, degrees, {}), cosine=loss == "softmax").quality(split.validation, seed=seed)
            best, kept, since = (quality, items, 0) if quality > best else (best, kept, since + 1)
            if since == patience:
                break
        if standardise:
            kept = unit_variance(kept, split.train.item)
        settings = {
            "dim": dim, "layers": layers, "loss": loss, "temperature": temperature, "negatives": negatives,
            "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay, "epochs": epochs, "patience": patience,
            "standardise": standardise, "seed": seed,
        }  # fmt: skip
        return cls(kept, degrees, settings)

    def users(self, cases: Cases, held_out: bool = False) -> Tensor:
        """Float32, shape (B, d); the same for ``held_out``, as item vectors cannot be refitted without each user."""
        history = cases.history_matrix(len(self.items))
        length = np.maximum(np.diff(history.indptr), 1).astype(np.float32)
        rows = self.items / self.degrees.sqrt()[:, None]
        return torch.from_numpy((history @ rows.numpy()) / np.sqrt(length)[:, None])

    def tensors(self) -> dict[str, Tensor]:
        return {"items": self.items, "degrees": self.degrees}

    @classmethod
    def _restore(cls, tensors, settings):
        return cls(tensors["items"], tensors["degrees"], settings)


def graph_model(n_nodes: int, dim: int, layers: int, generator: torch.Generator):
    """PyTorch Geometric's LightGCN, layer 0 from N(0, 0.1), whose convolutions take a symmetric sparse operator."""
    from torch_geometric.nn.models import LightGCN

    model = LightGCN(n_nodes, dim, layers)
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
    return vectors / vectors[known].std(0).clamp_min(1e-12)
