"""`python3 -I /run/executor/inside -- COMMAND…`: check the container, then become the user's command."""

import sys
from os.path import abspath, dirname

package = type(sys)("_executor")
package.__path__ = [dirname(abspath(__file__))]
sys.modules["_executor"] = package

from _executor.launch import main  # type: ignore[import-not-found]  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
