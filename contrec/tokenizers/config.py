"""Settings of the tokenizers that the two papers' models use."""

from __future__ import annotations

from dataclasses import dataclass

from contrec.checks import in_range, one_of, positive

KINDS = ("sigma_vae", "masked_encoder", "projection")


@dataclass(frozen=True)
class TokenizerConfig:
    """Structure of a model's tokenizers, and how they are trained."""

    kind: str = "sigma_vae"  # "sigma_vae" (Sect. 3.2, ContRec) | "masked_encoder" (Sect. 2.3, DeftRec) | "projection"
    train: str = "pretrain_freeze"  # Sect. 3.5.1, ContRec | "joint" with phase 2 (Sect. 2.6, DeftRec; released codes)
    n_tokens: int = 3  # K, searched in 1..5 (Sect. 4.1.4, ContRec); three in the printed prompt (Appendix B.1)
    token_dim: int = 32  # D, the width of one token; our choice: K * D stays below the input width
    width: int = 256  # of the MLPs' two hidden layers; our choice: the wider layer of the released code
    mask_ratio: float = 0.2  # rho, searched in 0..1 (Sect. 4.1.4); 0.2 is the best printed one (Sect. 3.5.1, DeftRec)
    mask_shared: bool = False  # True: one mask for all rows encoded together, a batch or a history (released codes)
    mask_at_test: bool = False  # True: a joint tokenizer masks when it recommends, too (DeftRec's released code)
    shift: bool = False  # True: a learned vector is added after the mask (released codes)
    dropout: float = 0.2  # of the masked encoder's blocks; released code: the paper prints none
    kl_weight: float = 1e-3  # beta of Eq. (12); the value is not printed: our choice
    gamma_from: str = "mu"  # Gamma is the std of "mu" or of the "input" over the first batch (Sect. 3.2 allows both)
    sigma_mode: str = "sampled"  # Eq. (10) | "fixed": one constant for all (released code) | "none", which collapses
    pool: str = "concat"  # what the decoder reads (Eq. 11) | "mean" of the K tokens (released code)
    lr: float = 1e-3  # our choice; Sect. 4.1.4 prints 1e-4 for 200 epochs of a larger set
    weight_decay: float = 1e-3  # Sect. 4.1.4
    epochs: int = 60  # our choice: 200 in Sect. 4.1.4, at a smaller learning rate
    batch_size: int = 512  # our choice: the paper prints none for phase 1

    def __post_init__(self):
        one_of("kind", self.kind, KINDS)
        one_of("train", self.train, ("pretrain_freeze", "joint"))
        one_of("gamma_from", self.gamma_from, ("mu", "input"))
        one_of("sigma_mode", self.sigma_mode, ("sampled", "fixed", "none"))
        one_of("pool", self.pool, ("concat", "mean"))
        for name in ("n_tokens", "token_dim", "width", "epochs", "batch_size"):
            positive(name, getattr(self, name))
        for name in ("mask_ratio", "dropout"):
            in_range(name, getattr(self, name), 0, 1)
        in_range("kl_weight", self.kl_weight, 0, 1e3)
        in_range("lr", self.lr, 0, 1)
        in_range("weight_decay", self.weight_decay, 0, 1e6)
        if self.kind != "sigma_vae" and self.train != "joint":
            raise ValueError(f"tokenizer {self.kind!r} has no decoder to be pretrained with: set train='joint'")
        if self.mask_at_test and self.train != "joint":
            raise ValueError("mask_at_test=True needs train='joint': the tokens of a frozen tokenizer are a table")

    @property
    def masks(self) -> bool:
        """Whether the mask ratio plays a part: a sigma-VAE masks in phase 1, which it has not when trained jointly."""
        return self.kind == "masked_encoder" or (self.kind == "sigma_vae" and self.train == "pretrain_freeze")
