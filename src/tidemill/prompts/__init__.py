"""Prompts: templates, their typed variables, few-shot examples and output schemas, and rendering them to messages.

Which model is asked, and in what order, is in `flows/`.
"""

from tidemill.prompts.kinds import PromptKind
from tidemill.prompts.render import PromptTemplate, render

__all__ = ["PromptKind", "PromptTemplate", "render"]
