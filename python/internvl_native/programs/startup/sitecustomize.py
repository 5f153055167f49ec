"""What Python processes of `internvl-native run` execute before the program.

PYTHONPATH names this folder, so that workers, launchers and other Python children are served too.
The `sitecustomize` that is hidden by this one runs afterwards.
"""

import importlib.machinery
import importlib.util
import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _here]

if (
    os.environ.get("INTERNVL_NATIVE_RUN") == sys.prefix
):  # another Python's child: not ours to change
    import internvl_native.programs.run

    internvl_native.programs.run.prepare()

_spec = importlib.machinery.PathFinder.find_spec("sitecustomize")
if _spec is not None and _spec.loader is not None:
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["sitecustomize"] = _module
    _spec.loader.exec_module(_module)
