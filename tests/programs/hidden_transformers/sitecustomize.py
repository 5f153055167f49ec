"""On PYTHONPATH, this folder makes an installed transformers absent: the stand-in comes first."""

import sys

from internvl_native.programs.stand_in import StandInFinder

sys.meta_path.insert(0, StandInFinder())
