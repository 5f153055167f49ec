"""Conversation templates."""

from internvl_native.conversation import (
    Conversation,
    SeparatorStyle,
    conv_templates,
    get_conv_template,
    register_conv_template,
)

__all__ = [
    "Conversation",
    "SeparatorStyle",
    "conv_templates",
    "get_conv_template",
    "register_conv_template",
]
