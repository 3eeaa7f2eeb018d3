-- numbers: numeric fields of many tasks' records or of many labels' statistics, as one JSON text.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] family str task or progress
-- ARGV[3] count int how many fields
-- ARGV[4..] names str the fields, then at most 1,000 task ids (family task) or labels (family progress)
-- Returns [JSON, labels...]: one flat list, of each name its fields and the index of its label among labels; NaN where absent
-- Errors RCSTALE generation: a restore replaced it
-- Reads only. One moment for all of the call.

--@include keys
--@include reader
local width = tonumber(count) + 1
local fields = { unpack(names, names_first, names_first + count - 1) }
fields[width] = 'label'
local stem, found, n, answer, index_of = pool .. family .. ':', {}, 0, { '' }, {}
for i = names_first + count, names_last do
  local values = call('HMGET', stem .. names[i], unpack(fields))
  local label = values[width]
  if label and not index_of[label] then
    index_of[label] = #answer - 1
    answer[#answer + 1] = label
  end
  for j = 1, width - 1 do
    found[n + j] = values[j] or 'NaN'
  end
  n = n + width
  found[n] = index_of[label] or 'NaN'
end
answer[1] = '[' .. table.concat(found, ',') .. ']'
return answer
