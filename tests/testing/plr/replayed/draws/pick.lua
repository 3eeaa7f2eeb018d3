-- pick: with the staleness share by draws since the last one, else by 1 / rank.
-- Needs: call, pool, fresh_count, learning_count, all_count, task_at, uniform, index, staleness_share
-- Gives: is_spent, pick, drawn_key, draws_key, draw_count
local drawn_key, draws_key = pool .. 'own_tasks:drawn', pool .. 'own_pool:draws'
local draw_count = tonumber(call('HGET', draws_key, 'count') or 0)

local is_spent = false

local function pick_stale(most)
  for _ = 1, 1024 do
    local id = task_at(index(all_count))
    if uniform() * most < draw_count - call('ZSCORE', drawn_key, id) then
      return id
    end
  end
end

local function pick()
  local first = call('ZRANGE', drawn_key, 0, 0, 'WITHSCORES')
  local most = draw_count - first[2]
  if uniform() < staleness_share and most > 0 then
    return pick_stale(most)
  end
  local bins, top = 0, 1
  while top <= all_count do
    bins, top = bins + 1, 2 * top
  end
  while true do
    local low = 2 ^ index(bins)
    local rank = low + index(low)
    if rank <= all_count and uniform() * rank < low then
      if rank <= fresh_count then
        return task_at(rank - 1)
      end
      return task_at(fresh_count + learning_count - (rank - fresh_count))
    end
  end
end
