#!/bin/bash
set -e
echo "prediction service: starting on port ${PORT:-8080}"
"${PYTHON:-python3}" -m lameduck.demo.service
