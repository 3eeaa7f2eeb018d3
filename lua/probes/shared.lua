-- shared: see whether a script may change what all scripts of a server share (CVE-2025-46818). A server without that fault
-- answers with an error: the table is readonly. Nothing is changed: the field is not there. No key is used.
getmetatable('').absent = nil
return 1
