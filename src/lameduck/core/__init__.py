"""Pure decisions and the types they speak in: no clock, no socket, no process."""
