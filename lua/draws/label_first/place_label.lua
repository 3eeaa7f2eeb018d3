-- place_label: put a label into the sorted set where draws look for it. Labels that have tasks stand in `weights`, or in
-- `young` while they have few results. Where a label's mass grows with its tasks, `masses` holds weight times tasks.
-- Needs: call, pool, weight, least_count, label_mass_is_tasks, DRAWN, rescore, malformed
-- Gives: look_up, place_found, place_label
local function score_in(set, label)
  local text = call('ZSCORE', pool .. set, label)
  local found = text and tonumber(text)
  if found and not (found >= 0 and found <= 2097152) then -- a weight of 2 times 2^20 tasks
    malformed(pool .. set, label, text)
  end
  return found
end

-- Where a label stands, before anything is written: its score among those that are drawn by weight, and among the young.
local function look_up(label, p)
  local judged, young
  judged = score_in(DRAWN, label)
  if not (judged and (p.completion_count or 0) >= least_count) then
    young = score_in('young', label)
  end
  return { drawn = judged, young = young, tasks = 1 }
end

-- Put a label of statistics p and so many tasks where it belongs; `found`: where it stands.
local function place_found(label, p, tasks, found)
  local judged, young, own
  if tasks > 0 then
    local mass = label_mass_is_tasks and tasks or 1
    if p.completion_count < least_count then
      young = mass
    else
      own = weight(p)
      judged = own * mass
    end
  end
  if not (found.drawn and judged) then
    rescore('young', label, found.young, young, true)
  end
  rescore(DRAWN, label, found.drawn, judged)
  if label_mass_is_tasks then
    if own then
      call('ZADD', pool .. 'weights', own, label)
    else
      call('ZREM', pool .. 'weights', label)
    end
  end
end

local function place_label(label, p, tasks)
  place_found(label, p, tasks, look_up(label, p))
end
