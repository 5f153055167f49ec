"""``import internvl_native.patch_transformers``: transformers gives native models from here on.

`AutoModel`, `AutoModelForCausalLM`, `AutoTokenizer`, `AutoConfig`, `AutoProcessor` and
`AutoImageProcessor` load InternVL-Chat checkpoints natively and all else as before; without
transformers installed, the names that this package has can be imported from it. `internvl`, the
package of the InternVL repository, resolves too. See :mod:`internvl_native.programs`.
"""

from __future__ import annotations

from internvl_native.programs import install, uninstall

__all__ = ["install", "uninstall"]

install()
