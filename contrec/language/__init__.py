"""The language side: prompts, backbone, token injection, preference text and condition."""

from contrec.language.answers import AnswerSet
from contrec.language.backbone import LanguageConfig, load_backbone
from contrec.language.condition_net import ConditionNet, make_condition_net
from contrec.language.injection import TokenInjector
from contrec.language.prompts import PROMPTS, RESPONSES, PromptBatch, PromptBuilder
from contrec.language.user_model import Reading, UserModel, Written

__all__ = [
    "PROMPTS", "RESPONSES", "AnswerSet", "ConditionNet", "LanguageConfig", "PromptBatch", "PromptBuilder", "Reading",
    "TokenInjector", "UserModel", "Written", "load_backbone", "make_condition_net",
]  # fmt: skip
