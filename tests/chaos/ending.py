"""How a forked process ends: as the act of it does, whatever happens. The caller's code must not go on in two processes."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn


def end_with(act: Callable[[], Any]) -> NoReturn:
    """Act, and end this process: with 0, with the code of ``SystemExit``, or with 1 and the traceback of an error."""
    code = 1
    try:
        act()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
