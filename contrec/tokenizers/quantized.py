"""Quantized tokenizers: an embedding becomes K codes from books of codewords (VQ, RQ and MQ; Eqs. 2-4, ContRec)."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from contrec.checks import in_range, one_of, positive
from contrec.tokenizers.base import Tokenizer, masked, mlp

KINDS = ("vq", "rq", "mq")


@dataclass(frozen=True)
class QuantizerConfig:
    """Structure, books and training of a quantized tokenizer."""

    kind: str = "rq"  # "vq" one shared book (van den Oord), "rq" residual levels (TIGER), "mq" masked heads (TokenRec)
    n_codes: int = 4  # K, codes of one embedding
    n_entries: int = 256  # codewords in a book; 256 in TIGER, TokenRec and ContRec's peers
    code_dim: int | None = None  # D, width of a codeword; None: 4 for "vq" and "mq" (2 bits a dimension), 32 for "rq"
    width: int = 256  # of the MLPs' two hidden layers, as in TokenizerConfig
    codebook: str = "ema"  # books follow the "ema" of what they quantize, or the "gradient" of their own loss
    decay: float = 0.99  # of the moving averages (van den Oord), reached by way of (1 + t) / (10 + t) at step t
    dead_share: float = 0.05  # an entry used less often than this share of the mean load is reset; 0: never
    commitment: float = 0.25  # weight of the commitment loss (van den Oord, TIGER)
    mask_ratio: float = 0.2  # rho of "mq" (TokenRec's released code); the others mask nothing
    lr: float = 1e-3  # our choice, as in TokenizerConfig
    weight_decay: float = 1e-3
    epochs: int = 60
    batch_size: int = 512

    def __post_init__(self):
        one_of("kind", self.kind, KINDS)
        one_of("codebook", self.codebook, ("ema", "gradient"))
        for name in ("n_codes", "n_entries", "width", "epochs", "batch_size"):
            positive(name, getattr(self, name))
        if self.code_dim is not None:
            positive("code_dim", self.code_dim)
        for name in ("decay", "dead_share", "mask_ratio", "lr"):
            in_range(name, getattr(self, name), 0, 1)
        in_range("weight_decay", self.weight_decay, 0, 1e6)
        in_range("commitment", self.commitment, 0, 1e3)
        if self.codebook == "gradient" and not self.commitment:
            raise ValueError("commitment must be positive with codebook='gradient', got 0: it also moves the books")

    @property
    def token_dim(self) -> int:
        """D: ``code_dim``, or what stands for None."""
        return self.code_dim or (32 if self.kind == "rq" else 4)


class QuantizedVAE(Tokenizer):
    r"""An encoder, K nearest codewords, a decoder; vector-quantize-pytorch keeps the books.

    - "vq" (van den Oord et al., 2017): one encoder gives K vectors, one book quantizes them all, the decoder reads
      their concatenation.
    - "rq" (Lee et al., 2022; TIGER): one encoder gives one vector, level k quantizes what levels 1..k-1 left over, the
      decoder reads the sum.
    - "mq" (TokenRec): K encoders, each with its own book, and in training its own mask; the decoder reads the
      concatenation, as the sigma-VAE's does. A mask hides single elements (Eq. 9, ContRec), so that this peer and the
      sigma-VAE differ in the quantization alone. TokenRec's code sums the codes; a sum is a concatenation whose K
      blocks of decoder weights are equal.

    The gradient of the reconstruction passes straight through to the encoder.

    Args:
        dim: width d of the embeddings.
        config: structure, books and training.
    """

    def __init__(self, dim: int, config: QuantizerConfig):
        from vector_quantize_pytorch import ResidualVQ, VectorQuantize

        super().__init__(dim, config)
        k, width, token_dim = config.n_codes, config.width, config.token_dim
        heads, vectors = {"vq": (1, k), "rq": (1, 1), "mq": (k, 1)}[config.kind]
        self.encoders = nn.ModuleList(mlp(dim, width, width, vectors * token_dim) for _ in range(heads))
        self.decoder = mlp(token_dim if config.kind == "rq" else k * token_dim, width, width, dim)
        load = config.batch_size * vectors / config.n_entries  # mean use of an entry in one batch
        book = {
            "dim": token_dim,
            "codebook_size": config.n_entries,
            "decay": config.decay,
            "kmeans_init": True,
            "threshold_ema_dead_code": config.dead_share * load,
            "commitment_weight": 1.0,
            "learnable_codebook": config.codebook == "gradient",
            "ema_update": config.codebook == "ema",
            "rotation_trick": False,  # the library's default, which is no straight-through estimator
            "route_gradients_to_input": False,  # done in `loss`: the library's K levels would pass K times the gradient
        }
        if config.kind == "rq":
            self.books = ResidualVQ(num_quantizers=k, **book)
        else:
            self.books = nn.ModuleList(VectorQuantize(**book) for _ in range(heads))
        self.batches = 0  # seen by the books

    @property
    def codebooks(self) -> list[nn.Module]:
        """The library's books: one for "vq", one per level or head otherwise."""
        return [b._codebook for b in (self.books.layers if self.config.kind == "rq" else self.books)]

    def vectors(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What is quantized: x (B, d) -> (B, K, D), or (B, D) for "rq"; a generator masks the inputs of "mq"."""
        if self.config.kind == "rq":
            return self.encoders[0](x)
        if self.config.kind == "vq":
            return self.encoders[0](x).unflatten(1, (self.config.n_codes, self.config.token_dim))
        rho = self.config.mask_ratio
        views = [x if generator is None else masked(x, rho, generator) for _ in self.encoders]
        return torch.stack([encoder(v) for encoder, v in zip(self.encoders, views, strict=True)], dim=1)

    def quantize(self, v: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Nearest codewords of ``vectors``; the books learn from them in training, if there is a generator.

        Returns:
            What the decoder reads, shaped as ``v``; codes, int64, (B, K); in training the squared distance between
            vectors and codewords, a mean over dimensions, vectors and the levels of "rq" (TIGER sums over levels).
        """
        keep = generator is None
        if self.config.kind == "rq":
            q, codes, distance = self.books(v, freeze_codebook=keep)
            return q, codes, distance.mean()
        if self.config.kind == "vq":
            return self.books[0](v, freeze_codebook=keep)
        q, codes, distance = zip(*(b(v[:, k], freeze_codebook=keep) for k, b in enumerate(self.books)), strict=True)
        return torch.stack(q, dim=1), torch.stack(codes, dim=1), torch.stack(distance).mean()

    def start(self, x: Tensor, generator: torch.Generator) -> None:
        """k-means of the untrained encoder's vectors as the first books, on up to 64 vectors per entry.

        Raises:
            ValueError: if x has fewer vectors than a book has entries.
        """
        per_row = self.config.n_codes if self.config.kind == "vq" else 1
        entries = self.config.n_entries
        if len(x) * per_row < entries:
            raise ValueError(
                f"n_entries must not exceed the vectors that train a book, got {entries} entries for "
                f"{len(x) * per_row} vectors: give more rows or fewer entries"
            )
        rows = torch.randperm(len(x), generator=generator, device=x.device)[: math.ceil(64 * entries / per_row)]
        with torch.no_grad(), library_stream(generator):
            self.quantize(self.vectors(x[rows], generator))

    @property
    def started(self) -> bool:
        """Whether the books hold codewords."""
        return all(bool(book.initted) for book in self.codebooks)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Numbers of the nearest codewords, never masked: x (B, d) -> int64, (B, K), each below ``n_entries``.

        Raises:
            ValueError: before training.
        """
        if not self.started:
            raise ValueError("the books are empty before training: call train_tokenizer, or load trained weights")
        return torch.cat([self.quantize(self.vectors(part))[1] for part in x.split(1024)])  # distances: B * K * entries

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The codewords of x (B, d), one per code or level, (B, K, D); nothing is random, no gradient reaches x."""
        codes = self.codes(x)
        if self.config.kind == "rq":
            return self.books.get_codes_from_indices(codes).transpose(0, 1)
        if self.config.kind == "vq":
            return self.books[0].get_codes_from_indices(codes)
        return torch.stack([b.get_codes_from_indices(codes[:, k]) for k, b in enumerate(self.books)], dim=1)

    def decode(self, z: Tensor) -> Tensor:
        """x_hat of codewords z (B, K, D), summed for "rq" and concatenated otherwise: (B, d)."""
        return self.decoder(z.sum(1) if self.config.kind == "rq" else z.flatten(1))

    def loss(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Both terms for a training batch x (B, d); the books learn from it too.

        Returns:
            "reconstruction"; "commitment", the mean squared distance between vectors and codewords (which also is the
            loss of "gradient" books); "total" = reconstruction + commitment weight * commitment.
        """
        v = self.vectors(x, generator)
        for book in self.codebooks:  # fast while the encoder moves; slow in the end: jitter of a level upsets the next
            book.decay = min(self.config.decay, (1 + self.batches) / (10 + self.batches))
        self.batches += self.training
        with library_stream(generator):
            q, _, commitment = self.quantize(v, generator)
        z = v + (q - v).detach()  # straight through
        reconstruction = (self.decoder(z.flatten(1)) - x).square().mean()
        return {
            "reconstruction": reconstruction,
            "commitment": commitment,
            "total": reconstruction + self.config.commitment * commitment,
        }

    def rate_bits(self, x: Tensor | None = None) -> float:
        """K log2(entries), whatever x is: a code that is never used costs as much as any other."""
        return self.config.n_codes * math.log2(self.config.n_entries)

    def usage(self, x: Tensor) -> dict[str, float]:
        """How x (n, d) uses the books.

        Returns:
            "used", share of a book's entries that some row has; "perplexity", exp of the entropy of a book's entries,
            in 1..n_entries (both means over the books, "vq" has one); "collisions", share of the rows that have all K
            codes in common with another row.
        """
        codes = self.codes(x)
        per_book = codes.reshape(1, -1) if self.config.kind == "vq" else codes.T
        counts = torch.stack([torch.bincount(c, minlength=self.config.n_entries) for c in per_book]).double()
        entropy = torch.special.entr(counts / counts.sum(1, keepdim=True)).sum(1)
        _, which, repeats = torch.unique(codes, dim=0, return_inverse=True, return_counts=True)
        return {
            "used": float((counts > 0).double().mean()),
            "perplexity": float(entropy.exp().mean()),
            "collisions": float((repeats[which] > 1).double().mean()),
        }


@contextmanager
def library_stream(generator: torch.Generator):
    """Let what draws from torch's global stream draw from ``generator``; the global stream is left as it was."""
    device = generator.device
    seed = int(torch.randint(2**31, (), generator=generator, device=device))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
