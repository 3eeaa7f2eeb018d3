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
--@include unpacking
--@include statistic_names
local of_task = family == 'task'
local unpack_statistics = of_task and unpack_task or unpack_label
local is_statistic = {}
for _, name in ipairs(of_task and TASK_STATISTICS or LABEL_STATISTICS) do
  is_statistic[name] = name ~= 'completion_count' -- a task has that before its first result too
end

local width, plain, place = tonumber(count) + 1, { 'stats', 'label' }, {} -- place: of a plain field among those read
for j = 1, width - 1 do
  local field = names[names_first + j - 1]
  if not is_statistic[field] then
    plain[#plain + 1] = field
    place[j] = #plain
  end
end

local stem, found, n, answer, index_of = pool .. family .. ':', {}, 0, { '' }, {}
for i = names_first + count, names_last do
  local values, p = call('HMGET', stem .. names[i], unpack(plain)), {}
  local label = values[2]
  if label and not index_of[label] then
    index_of[label] = #answer - 1
    answer[#answer + 1] = label
  end
  if values[1] then
    unpack_statistics(p, values[1])
  end
  for j = 1, width - 1 do
    local value = place[j] and values[place[j]]
    if not place[j] then
      value = p[names[names_first + j - 1]]
      value = value and string.format('%.17g', value)
    end
    found[n + j] = value or 'NaN'
  end
  n = n + width
  found[n] = index_of[label] or 'NaN'
end
answer[1] = '[' .. table.concat(found, ',') .. ']'
return answer
