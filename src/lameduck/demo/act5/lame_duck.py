"""What gunicorn serves now."""

from lameduck.demo.service.wsgi import application as service
from lameduck_pod.wsgi import LameDuck

application = LameDuck(service)
