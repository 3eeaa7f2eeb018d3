-- pick: every task with the same probability (_sampling/uniform.py).
-- Needs: all_count, task_at, index
-- Gives: prepare_picks, is_spent, pick
local function prepare_picks() end

local function is_spent()
  return false
end

local function pick()
  return task_at(index(all_count))
end
