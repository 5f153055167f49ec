"""Whether the tests run under the address sanitizer, which keeps freed memory."""

from __future__ import annotations

import os

SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
