"""Blocks as real programs print them, by name."""

PYTHON = """\
Traceback (most recent call last):
  File "/srv/serve.py", line 12, in predict
    return a @ b
           ~~^~~
ValueError: matmul: Input operand 1 has a mismatch in its core dimension 0"""

CHAINED = """\
Traceback (most recent call last):
  File "/srv/serve.py", line 3, in load
    return cache[key]
KeyError: 'fraud-scorer'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/serve.py", line 5, in load
    raise RuntimeError("no such model") from None
RuntimeError: no such model"""

CAUSED = CHAINED.replace(
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)

GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "/srv/serve.py", line 9, in <module>
  |     raise ExceptionGroup("two", [a, b])
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/serve.py", line 4, in f
    |     raise ValueError("one")
    | ValueError: one
    +---------------- 2 ----------------
    | TypeError: two
    +------------------------------------"""

STATE_DICT = """\
Traceback (most recent call last):
  File "/srv/load.py", line 8, in <module>
    model.load_state_dict(state)
RuntimeError: Error(s) in loading state_dict for Net:
	Missing key(s) in state_dict: "fc.weight".
	size mismatch for fc.bias: copying a param with shape torch.Size([2])"""

CUDA = """\
Traceback (most recent call last):
  File "/srv/serve.py", line 40, in forward
    x = self.net(x)
RuntimeError: CUDA error: device-side assert triggered
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."""

SYNTAX = """\
  File "/srv/serve.py", line 3
    def predict(x)
                  ^
SyntaxError: expected ':'"""

LOGGING = """\
--- Logging error ---
Traceback (most recent call last):
  File "/usr/lib/python3.11/logging/__init__.py", line 1110, in emit
    msg = self.format(record)
TypeError: not all arguments converted during string formatting
Call stack:
  File "/srv/serve.py", line 4, in <module>
    logging.error("a", 1)
Message: 'a'
Arguments: (1,)"""

FAULT = """\
Fatal Python error: Segmentation fault

Current thread 0x00007f2d1c0f7740 (most recent call first):
  File "/srv/serve.py", line 3 in <module>

Extension modules: numpy.core._multiarray_umath (total: 1)"""

JAVA = """\
Exception in thread "main" java.lang.IllegalStateException: Model failed to load
	at org.pytorch.serve.wlm.ModelManager.load(ModelManager.java:42)
	at org.pytorch.serve.ModelServer.main(ModelServer.java:85)
	Suppressed: java.io.IOException: close
		at org.pytorch.serve.A.close(A.java:1)
Caused by: java.io.FileNotFoundException: /models/resnet.mar
	at java.base/java.io.FileInputStream.open0(Native Method)
	... 2 more"""

GO = """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45d0f2]

goroutine 1 [running]:
main.(*Server).handle(0xc000010000, {0x0, 0x0})
	/srv/main.go:12 +0x1d
main.main()
	/srv/main.go:7 +0x25

goroutine 6 [chan receive, 2 minutes]:
main.worker[...](0xc00001c0c0)
	/srv/main.go:20 +0x33
created by main.main
	/srv/main.go:6 +0x1f
exit status 2"""

TERMINATED = """\
terminate called after throwing an instance of 'c10::Error'
  what():  CUDA error: out of memory
CUDA kernel errors might be asynchronously reported at some other API call.

Exception raised from c10_cuda_check_implementation at /pytorch/c10/cuda/CUDAException.cpp:44 (most recent call first):
frame #0: c10::Error::Error(c10::SourceLocation, std::string) + 0x96 (0x7f1 in /usr/lib/libc10.so)
frame #1: <unknown function> + 0x1d (0x7f2 in /usr/lib/libtorch.so)"""

KERNEL = """\
../aten/src/ATen/native/cuda/Loss.cu:240: nll_loss: block: [0,0,0], thread: [0,0,0] Assertion `t >= 0` failed.
../aten/src/ATen/native/cuda/Loss.cu:240: nll_loss: block: [0,0,0], thread: [1,0,0] Assertion `t >= 0` failed."""

TABLE = """\
I1122 10:00:00.123456 1 server.cc:592]\x20
+------------------+------+
| Repository Agent | Path |
+------------------+------+
+------------------+------+"""

HEAD = "2026-11-22 10:00:00,123 - scorer - ERROR - prediction failed"

TRITON = """\
E1122 10:00:00.123456 1 model_lifecycle.cc:621] failed to load 'scorer' version 1: Internal: KeyError: 'weights'

At:
  /models/scorer/1/model.py(55): initialize"""

CHECKED = """\
F1122 10:00:00.123456 1 tensor.cc:77] Check failed: dims == 2 (3 vs. 2)
*** Check failure stack trace: ***
    @     0x7f1d2c0f7740  google::LogMessage::Fail()"""

BLOCKS = {
    "python": PYTHON,
    "chained": CHAINED,
    "caused": CAUSED,
    "group": GROUP,
    "state_dict": STATE_DICT,
    "cuda": CUDA,
    "syntax": SYNTAX,
    "logging": LOGGING,
    "fault": FAULT,
    "java": JAVA,
    "go": GO,
    "terminated": TERMINATED,
    "kernel": KERNEL,
    "table": TABLE,
    "triton": TRITON,
    "checked": CHECKED,
    "head and python": f"{HEAD}\n{PYTHON}",
    "head and chained": f"{HEAD}\n{CHAINED}",
    "head and group": f"{HEAD}\n{GROUP}",
    "head and java": f"{HEAD}\njava.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)",
    "head and frames": f"{HEAD}: java.io.IOException: no\n\tat a.B.c(B.java:1)",
    "served panic": "2026/11/22 10:00:00 http: panic serving 127.0.0.1:5000: no\ngoroutine 18 [running]:\nmain.f()",
    "task": f"ERROR:asyncio:Task exception was never retrieved\nfuture: <Task finished name='Task-1'>\n{PYTHON}",
    "thread": f"Exception in thread Thread-1 (run):\n{PYTHON}",
    "coloured": f"\x1b[31mERROR\x1b[0m failed\n{PYTHON}",
}

SINGLES = [
    'INFO:     127.0.0.1:5000 - "POST /predict HTTP/1.1" 200 OK',
    "2026-11-22 10:00:00,123 - scorer - INFO - cache hit",
    '{"level": "ERROR", "message": "not the head of anything: a record by itself"}',
    "loading weights: 100%|##########| 3/3 [00:00<00:00, 12.3it/s]",
    "42",
]
"""Lines that belong to nothing."""
