-- record: a whole record as field, value, ...: what stands in it as text, then every statistic by name, printed. Where both
-- have a name, the later one is the truth.
-- Needs: call, fields_of, read_task, read_label, TASK_FIELDS, LABEL_FIELDS, TASK_STATISTICS, LABEL_STATISTICS, own_of,
--   OWN_TASKS
-- Gives: whole_task, whole_label
local function whole(key, unpack_statistics, fields, names)
  local found, stats = fields_of(key, fields), call('HGET', key, 'stats')
  if stats then
    local p = {}
    unpack_statistics(p, stats, key)
    for _, name in ipairs(names) do
      if p[name] then
        found[#found + 1] = name
        found[#found + 1] = string.format('%.17g', p[name])
      end
    end
  else -- of schema 1, which is being migrated: each statistic is a text
    for _, text in ipairs(fields_of(key, names)) do
      found[#found + 1] = text
    end
  end
  return found
end

local function whole_task(key)
  local found = whole(key, read_task, TASK_FIELDS, TASK_STATISTICS)
  if found[1] then
    own_of(OWN_TASKS, string.match(key, '%d+$'), found)
  end
  return found
end

local function whole_label(key)
  return whole(key, read_label, LABEL_FIELDS, LABEL_STATISTICS)
end
