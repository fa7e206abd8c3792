"""Runs commands, several at a time, for dev/test.

    pool = Pool(jobs)
    pool.run(tasks, alone)      every task, a function; those of `alone` one by one behind the others
    status, output = pool.command(['perl', ...], timeout=300)      what a task does, as a rule

Whatever ends the run early, Ctrl-C too, ends every command that runs: each is asked by its pid, so
that it stops its servers, and killed with its process group if it does not listen.
"""
import collections
import os
import signal
import subprocess
import threading
import time

PATIENCE = 30  # seconds that a command has to end in when it was asked to


class Stopped(Exception):
    """Nothing begins any more."""


class Pool:
    def __init__(self, jobs):
        self.jobs = jobs
        self.lock = threading.Lock()
        self.running = set()
        self.is_stopping = False
        self.error = None

    # ---- commands ----

    def command(self, command, timeout, **options):
        """Runs a command to its end; returns status and output. One that takes too long is asked to
        end."""
        process = self.begin(command, options)
        try:
            out = process.communicate(timeout=timeout)[0]
            return process.returncode, out.decode(errors='replace')
        except subprocess.TimeoutExpired:
            out = self.end(process)
            return 124, out.decode(errors='replace') + f'\n(took more than {timeout} s)\n'
        finally:
            if self.is_stopping:
                self.kill_group(process)
            with self.lock:
                self.running.discard(process)

    def begin(self, command, options):
        """Starts a command in a session of its own: Ctrl-C on the terminal is ours to pass on."""
        with self.lock:
            if self.is_stopping:
                raise Stopped()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, start_new_session=True, **options)
            self.running.add(process)
        return process

    @staticmethod
    def end(process):
        """Ends a command; returns its output."""
        process.send_signal(signal.SIGTERM)
        try:
            return process.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            Pool.kill_group(process)
            return process.communicate()[0]

    @staticmethod
    def kill_group(process):
        """Kills what is left of a command and what it started."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop(self):
        """Ends all commands, whose tasks then end too."""
        with self.lock:
            self.is_stopping = True
            running = list(self.running)
        for process in running:
            process.send_signal(signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while self.running and time.monotonic() < end:
            time.sleep(0.05)
        with self.lock:
            for process in self.running:
                self.kill_group(process)

    # ---- tasks ----

    def run(self, tasks, alone=()):
        """Runs every task; raises what any of them raised."""
        self.drain(tasks, self.jobs)
        self.drain(alone, 1)

    def drain(self, tasks, jobs):
        """Runs tasks in their order, so many at a time."""
        waiting = collections.deque(tasks)
        threads = [threading.Thread(target=self.work, args=(waiting,))
                   for _ in range(min(jobs, len(waiting)))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:  # Ctrl-C, or a signal that is to end us
            self.stop()
            for thread in threads:
                thread.join()
            raise
        if self.error:
            raise self.error

    def work(self, waiting):
        """Runs tasks until there is none left."""
        while not self.is_stopping:
            try:
                task = waiting.popleft()
            except IndexError:
                return
            try:
                task()
            except Stopped:
                return
            except BaseException as error:  # a mistake in a task: the run is void
                self.error = self.error or error
                self.stop()
                return
