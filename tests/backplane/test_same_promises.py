# ruff: noqa: F403
"""What a single server promises, a server among several promises as well: the same tests."""

from tests.requirements.test_admin import *
from tests.requirements.test_bytes import *
from tests.requirements.test_coming_back import *
from tests.requirements.test_entering import *
from tests.requirements.test_errors import *
from tests.requirements.test_leaving import *
from tests.requirements.test_limits import *
from tests.requirements.test_liveness import *
from tests.requirements.test_shutdown import *
from tests.requirements.test_talking import *
