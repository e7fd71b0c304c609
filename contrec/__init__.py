"""contrec: continuous tokens, a language model and diffusion for recommendation."""
