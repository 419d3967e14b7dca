"""How gunicorn serves the prediction service. Read by gunicorn itself; its command line overrides each setting.

Law: one process makes predictions, many threads wait. Nothing here decides what happens at the stop signal except
``graceful_timeout``: the stories' first act sets it to 0 on the command line, and so cuts what is in flight.
"""

from __future__ import annotations

import os

_MEMORY = "/dev/shm"  # noqa: S108 -- a directory that is always memory

wsgi_app = "lameduck.demo.service.wsgi:application"
bind = f"0.0.0.0:{os.environ.get('PORT', '8080')}"
workers = 1
worker_class = "lameduck.demo.service.worker.Worker"
threads = 64
keepalive = 90  # seconds; longer than clients keep theirs, so that it is they who close
graceful_timeout = 20  # seconds; less than the default grace period of 30
worker_tmp_dir = _MEMORY if os.access(_MEMORY, os.W_OK) else None  # the heartbeat must not wait for a disk
control_socket_disable = True
loglevel = "warning"
