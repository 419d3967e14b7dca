from lameduck.library import EnvironmentFault as EnvironmentFault
from lameduck.library import Finding as Finding
from lameduck.library import LameduckError as LameduckError
from lameduck.library import Options as Options
from lameduck.library import Progress as Progress
from lameduck.library import Proof as Proof
from lameduck.library import UsageError as UsageError
from lameduck.library import Verdict as Verdict
from lameduck.library import prove as prove
from lameduck.library import prove_async as prove_async

__version__: str
