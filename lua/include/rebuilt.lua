-- rebuilt: put tasks into sorted sets that are built beside those in use, and into what the draws keep; a label when its
-- first task comes. Then the new sets take the places of the old ones together.
-- Needs: call, pool, load_task, load_label, part_of, rank, index_label, index_tasks
-- Gives: rebuild_tasks, exchange_parts
local function rebuild_tasks(ids)
  local tasks, labels, members = {}, {}, { fresh = {}, learning = {}, ripe = {} }
  for _, id in ipairs(ids) do
    local task = load_task(id)
    if task then
      local label, into = task.label, members[part_of(task.completion_count)]
      if not labels[label] then
        if call('SADD', pool .. 'reindexed:labels', label) == 1 then
          index_label(label)
        end
        labels[label] = load_label(label)
      end
      tasks[id] = task
      into[#into + 1] = rank(task)
      into[#into + 1] = id
    end
  end
  for right, into in pairs(members) do
    if into[1] then
      call('ZADD', pool .. 'reindexed:' .. right, unpack(into))
    end
  end
  index_tasks(tasks, labels)
end

local function exchange_parts()
  for _, part in ipairs({ 'fresh', 'learning', 'ripe' }) do
    call('UNLINK', pool .. part)
    if call('EXISTS', pool .. 'reindexed:' .. part) == 1 then
      call('RENAME', pool .. 'reindexed:' .. part, pool .. part)
    end
  end
  call('UNLINK', pool .. 'reindexed:labels')
end
