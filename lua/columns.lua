-- columns: some fields of many tasks' records or of many labels' statistics.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] family str task or progress
-- ARGV[3] count int how many fields
-- ARGV[4..] names str the fields, then at most 1,000 task ids (family task) or labels (family progress)
-- Returns the fields of the first, then of the second ...: one flat list, nil where absent
-- Errors RCSTALE generation: a restore replaced it
-- Reads only. One moment for all of the call.

--@include keys
--@include reader
local fields, answer = {}, {}
for i = 1, tonumber(ARGV[3]) do
  fields[i] = ARGV[3 + i]
end
for i = 4 + #fields, #ARGV do
  local values, n = call('HMGET', pool .. ARGV[2] .. ':' .. ARGV[i], unpack(fields)), #answer
  for j = 1, #fields do
    answer[n + j] = values[j]
  end
end
return answer
