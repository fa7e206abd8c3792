/*
 * journal_ids.c
 *	  Tests of the session ids: never twice, whoever asks, whatever is left of the
 *	  file.
 */
#include <sys/wait.h>

#include "journal_test.h"

#define CHILDREN 8
#define BLOCKS 50

/*
 * Replaces the file of the ids.
 */
static void
write_file(const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/session_ids", directory);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

/*
 * Without a seed there are no ids; with one they go up in blocks, a counter a
 * node.
 */
static void
test_blocks(void)
{
	clean_directory();
	CHECK(journal_reserve_ids(directory, 0, 1000) == 0 && errno == ENOENT);
	CHECK(journal_seed_ids(directory, 0, 0) == 1);
	CHECK(journal_seed_ids(directory, 0, 500) == 0);  /* is there */
	CHECK(journal_reserve_ids(directory, 0, 0) == 1); /* looks, takes none */
	CHECK(journal_reserve_ids(directory, 0, 1000) == 1);
	CHECK(journal_reserve_ids(directory, 0, 1000) == 1001);
	CHECK(journal_reserve_ids(directory, 7, 1000) == 0 && errno == ENOENT);
	CHECK(journal_seed_ids(directory, 7, 41) == 1);
	CHECK(journal_reserve_ids(directory, 7, 1) == 42);
	CHECK(journal_reserve_ids(directory, 32767, 1) == 0 && errno == ENOENT);
	CHECK(journal_reserve_ids(directory, 0, 1000) == 2001);
	CHECK(journal_reserve_ids(directory, 7, 1) == 43);
}

/*
 * A file that makes no sense is as good as none.
 */
static void
test_broken_file(void)
{
	static const char *const texts[] = {"", "\n", "abc\n", "0", "0 0\n", "0 x\n", "1 5\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		clean_directory();
		write_file(texts[i]);
		CHECK(journal_reserve_ids(directory, 0, 1000) == 0 && errno == ENOENT);
		CHECK(journal_seed_ids(directory, 0, 99) == 1);
		CHECK(journal_reserve_ids(directory, 0, 1000) == 100);
	}
	write_file("1 5\n0 100\n");
	CHECK(journal_reserve_ids(directory, 0, 10) == 100);
	CHECK(journal_reserve_ids(directory, 1, 10) == 5);
	CHECK(journal_reserve_ids(directory, 0, 10) == 110);
}

/*
 * A directory that is missing is an error, not a block of ids.
 */
static void
test_no_directory(void)
{
	CHECK(journal_reserve_ids("/nonexistent/x", 0, 1000) == 0);
	CHECK(journal_seed_ids("/nonexistent/x", 0, 0) == -1);
}

/*
 * Processes that ask at once get blocks of their own.
 */
static void
test_at_once(void)
{
	static bool taken[CHILDREN * BLOCKS + 1];
	int pipes[2];
	uint64_t first;
	int count = 0;

	clean_directory();
	CHECK(journal_seed_ids(directory, 3, 0) == 1);
	CHECK(pipe(pipes) == 0);
	for (int i = 0; i < CHILDREN; i++)
	{
		if (fork() != 0)
			continue;
		for (int j = 0; j < BLOCKS; j++)
		{
			first = journal_reserve_ids(directory, 3, 10);
			if (write(pipes[1], &first, sizeof(first)) != sizeof(first))
				_exit(1);
		}
		_exit(0);
	}
	close(pipes[1]);
	while (read(pipes[0], &first, sizeof(first)) == sizeof(first))
	{
		CHECK(first % 10 == 1 && first / 10 < CHILDREN * BLOCKS && !taken[first / 10]);
		taken[first / 10 <= CHILDREN * BLOCKS ? first / 10 : 0] = true;
		count++;
	}
	close(pipes[0]);
	CHECK(count == CHILDREN * BLOCKS);
	while (wait(NULL) > 0)
		;
}

int
main(void)
{
	test_blocks();
	test_broken_file();
	test_no_directory();
	test_at_once();
	return finish_journal();
}
