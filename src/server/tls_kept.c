/*
 * tls_kept.c
 *	  The certificate's bundle, kept over the death of a supervisor.
 *
 * The postmaster holds what it read at the last reload, and goes on with that after
 * a crash, whatever lies on disk by then.  Relays must show the same.  So the
 * postmaster has one more file in memory, made before its first fork, and each
 * supervisor leaves a copy of its bundle there for the next one.  It is closed in
 * programs that the server runs; the server's processes have the key in their memory
 * anyway.
 *
 *		tls_kept_prepare	makes the file, in the postmaster
 *		tls_keep			leaves a bundle, or none
 *		tls_kept_take		what was left, as a bundle of its own
 */
#include "server/supervisor.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/tls_bundle.h"
#include "utils/timestamp.h"

/* What stands before the bundle's bytes; length comes last, so that a torn copy is none. */
typedef struct KeptHeader
{
	uint64 length; /* 0: nothing is kept */
	int64 read_at; /* when its files were read */
} KeptHeader;

static int kept = -1;

/*
 * Makes the file.  Without one, what is on disk is read again.
 */
void
tls_kept_prepare(void)
{
	kept = memfd_create("pgwire_trace TLS kept", MFD_CLOEXEC);
}

/*
 * Copies bytes from a place of one file to a place of another.
 */
static bool
copy_bytes(int from, off_t from_at, int to, off_t to_at, uint64 length)
{
	char buffer[8192];
	uint64 done = 0;

	while (done < length)
	{
		size_t piece = Min(sizeof(buffer), length - done);
		ssize_t n = pread(from, buffer, piece, from_at + (off_t) done);

		if (n <= 0 || pwrite(to, buffer, (size_t) n, to_at + (off_t) done) != n)
			break;
		done += (uint64) n;
	}
	explicit_bzero(buffer, sizeof(buffer));
	return done == length;
}

/*
 * Leaves a bundle for the next supervisor; -1: there is none to leave.
 */
void
tls_keep(int bundle, int64 read_at)
{
	KeptHeader header = {0, read_at};
	struct stat status;

	if (kept < 0 || ftruncate(kept, 0) != 0 || bundle < 0 || fstat(bundle, &status) != 0)
		return;
	if (pwrite(kept, &header, sizeof(header), 0) != sizeof(header) ||
	    !copy_bytes(bundle, 0, kept, sizeof(header), (uint64) status.st_size))
		return;
	header.length = (uint64) status.st_size;
	if (pwrite(kept, &header, sizeof(header), 0) != sizeof(header))
		return; /* without its length a copy is none */
}

/*
 * Returns what was left as a bundle, and tells whether the server has been reloaded
 * since it was read; -1: there is none.
 */
int
tls_kept_take(bool *is_stale)
{
	KeptHeader header;
	struct stat status;
	int bundle;

	if (kept < 0 || pread(kept, &header, sizeof(header), 0) != sizeof(header) ||
	    header.length == 0 || fstat(kept, &status) != 0 ||
	    (uint64) status.st_size != sizeof(header) + header.length)
		return -1;
	bundle = tls_bundle_new();
	if (bundle < 0)
		return -1;
	if (!copy_bytes(kept, sizeof(header), bundle, 0, header.length))
	{
		close(bundle);
		return -1;
	}
	tls_bundle_seal(bundle);
	*is_stale = PgReloadTime > header.read_at;
	return bundle;
}
