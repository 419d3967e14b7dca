.PHONY: demo test check fix lock
demo test check lock:
	scripts/$@
fix:
	scripts/check --fix
