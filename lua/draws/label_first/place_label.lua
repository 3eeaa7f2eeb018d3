-- place_label: put a label into the sorted set where draws look for it. Labels that have tasks stand in `weights`, or in
-- `young` while they have few results. Where a label's mass grows with its tasks, `masses` holds weight times tasks.
-- Needs: call, pool, weight, least_count, label_mass_is_tasks, DRAWN, rescore, malformed
-- Gives: look_up, place_label
local function score_in(set, label)
  local text = call('ZSCORE', pool .. set, label)
  local score = text and tonumber(text)
  if score and not (score >= 0 and score <= 2097152) then -- a weight of 2 times 2^20 tasks
    malformed(pool .. set, label, text)
  end
  return score
end

-- Where a label stands, before anything is written: its score among those that are drawn by weight, and among the young.
local function look_up(label, p)
  local found = { drawn = score_in(DRAWN, label) }
  if not (found.drawn and (p.completion_count or 0) >= least_count) then
    found.young = score_in('young', label)
  end
  return found
end

-- Put a label of statistics p and so many tasks where it belongs, wherever it stands; `found`: where, if that is known.
local function place_label(label, p, tasks, found)
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
  found = found or look_up(label, p)
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
