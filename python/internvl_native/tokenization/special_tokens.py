"""Special tokens as attributes: ``bos_token``, ``bos_token_id``, ..."""

from __future__ import annotations

from typing import Any

from internvl_native.tokenization.added_tokens import AddedToken, as_added_token

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
SPECIAL_TOKENS_ATTRIBUTES = [*(f"{role}_token" for role in ROLES), "additional_special_tokens"]


def _token_property(role: str) -> property:
    attribute = f"{role}_token"

    def get(self: SpecialTokens) -> str | None:
        token = self._special_tokens[attribute]
        return None if token is None else str(token)

    def set_(self: SpecialTokens, value: Any) -> None:
        self._special_tokens[attribute] = None if value is None else _checked(attribute, value)

    return property(get, set_, doc=f"The {role} token as a string, or None.")


def _id_property(role: str) -> property:
    attribute = f"{role}_token"

    def get(self: SpecialTokens) -> int | None:
        token: str | None = getattr(self, attribute)
        return None if token is None else self.convert_tokens_to_ids(token)

    def set_(self: SpecialTokens, value: int | None) -> None:
        setattr(self, attribute, None if value is None else self.convert_ids_to_tokens(value))

    return property(get, set_, doc=f"The id of the {role} token, or None.")


def _checked(attribute: str, value: Any) -> str | AddedToken:
    if isinstance(value, str):
        return value
    try:
        return as_added_token(value, special=True)
    except TypeError:
        raise ValueError(
            f"{attribute}: expected str, AddedToken or None, got {type(value).__name__}"
        ) from None


class SpecialTokens:
    """Holds the special tokens by role; setting one neither adds nor removes vocabulary."""

    SPECIAL_TOKENS_ATTRIBUTES = SPECIAL_TOKENS_ATTRIBUTES
    pad_token_type_id = 0

    bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token = map(
        _token_property, ROLES
    )
    (
        bos_token_id,
        eos_token_id,
        unk_token_id,
        sep_token_id,
        pad_token_id,
        cls_token_id,
        mask_token_id,
    ) = map(_id_property, ROLES)

    def __init__(self, special_tokens: dict[str, Any]) -> None:
        self._special_tokens: dict[str, str | AddedToken | None] = dict.fromkeys(
            f"{role}_token" for role in ROLES
        )
        self._additional_special_tokens: list[str | AddedToken] = []
        for attribute, value in special_tokens.items():
            setattr(self, attribute, value)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        raise NotImplementedError

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        raise NotImplementedError

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a role. A token taken out of this list stays in the
        vocabulary, is no longer skipped when decoding, and is set apart by spaces."""
        return [str(token) for token in self._additional_special_tokens]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Any) -> None:
        if isinstance(tokens, (str, AddedToken)):
            raise ValueError(f"additional_special_tokens: expected a list, got {tokens!r}")
        name = "additional_special_tokens"
        self._additional_special_tokens = [_checked(name, token) for token in tokens or ()]

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of ``additional_special_tokens``."""
        return list(self.convert_tokens_to_ids(self.additional_special_tokens))

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, ids: Any) -> None:
        self.additional_special_tokens = self.convert_ids_to_tokens(ids)

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """The special tokens that are set, by attribute, with their ``AddedToken`` details."""
        tokens: dict[str, Any] = {k: v for k, v in self._special_tokens.items() if v}
        if self._additional_special_tokens:
            tokens["additional_special_tokens"] = list(self._additional_special_tokens)
        return tokens

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The special tokens that are set, by attribute, as strings."""
        return {
            attribute: getattr(self, attribute) for attribute in self.special_tokens_map_extended
        }

    @property
    def all_special_tokens_extended(self) -> list[str | AddedToken]:
        """Every special token once, in the order of the attributes."""
        unique: dict[str, str | AddedToken] = {}
        for token in [*self._special_tokens.values(), *self._additional_special_tokens]:
            if token:
                unique.setdefault(str(token), token)
        return list(unique.values())

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, as strings."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of ``all_special_tokens``."""
        return list(self.convert_tokens_to_ids(self.all_special_tokens))
