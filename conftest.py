"""Makes the repository's root importable, so that tests can share their small worlds (tests.diagnosis.worlds).

And undoes what the starter of the tests may have left: a shell's background job, or nohup, ignores SIGINT, SIGQUIT and
SIGHUP, every child inherits that, and tests of Ctrl-C and of forwarded signals would test nothing.

And no property is judged by how long an example took: a busy machine is not what it is about.
"""

import signal

from hypothesis import settings

settings.register_profile("lameduck", deadline=None)
settings.load_profile("lameduck")

for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)
