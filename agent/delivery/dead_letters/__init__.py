"""The dead-letter store: records an output refused for good, with the reason.

One folder per output, ``<queue>/dead-letters/<output>/`` (mode 0750, files 0640: they hold what users sent the model):

    00000001.ndjson      letters, one JSON object a line (``letter.DeadLetter``), oldest first
    00000002.replaying   the same, while a command works on it; nobody else changes or deletes it
    00000002.rest        what a command leaves of such a file, until it takes its place
    counts.json          what left the store and how (``folder.Counts``)
    lock                 held for one change of the folder, by the agent and by the commands alike
    work.lock            held by a command for as long as it works on files it claimed

What holds, and who relies on it:

1. A record counts as dead-lettered once its line is synced, and the folder's entry of its file too. A line without its
   end, or that is not JSON, is of a write that failed or was damaged: it is passed over, and nothing is put behind it.
2. A number is given to one file only, so a claimed file keeps its place while newer ones are written.
3. A record is in the store once: what an agent that was killed had put there and not noted in its cursor is recognised
   when it comes again. (Only the newest files are looked at, where such a record must lie.)
4. Letters leave by ``LetterFolder.remove`` alone, and the rename of ``counts.json`` is the moment they do: it holds
   the new counts and names the files that are gone, so a crash before it removes nothing, and one after it is finished
   by whoever comes next. A missing or garbled ``counts.json`` counts nothing yet, and stops nobody.
5. What is still in a claimed file when its command died belongs to the store again: the next one to look takes it back.
"""
