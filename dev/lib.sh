# Shell functions that the scripts of dev/ and bench/ share. Source it from the project's top.

pg_config=${PG_CONFIG:-pg_config}

# initdb takes the encoding from here; a machine without a locale would give databases none
export LC_ALL=C.UTF-8

# Runs a command as the unprivileged user that servers need; as oneself if that is not root.
as_server_user()
{
	if [ "$(id -u)" -eq 0 ]; then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

# Makes a directory, readable by everybody, that belongs to the servers' user.
make_server_directory()
{
	mkdir -p "$1"
	chmod 755 "$1"
	[ "$(id -u)" -ne 0 ] || chown postgres: "$1"
}

# Prints a TCP port of the loopback interface that nobody uses, and that is this script's.
free_port()
{
	python3 -B dev/ports.py $$
}
