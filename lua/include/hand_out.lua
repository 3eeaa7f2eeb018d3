-- hand_out: tell the family's own draws that a task is handed out; false: it may not be. What they note then is kept as it was,
-- for a snapshot that runs.
-- Needs: call, pool, saving, save_task, save_label, taken
-- Gives: hand_out, hand_out_again
local function hand_out(id)
  if saving then
    save_task(id)
    save_label(call('HGET', pool .. 'task:' .. id, 'label') or '')
  end
  return taken(id)
end

-- Does so with a task that was chosen before this call: it may be gone.
local function hand_out_again(id)
  return call('EXISTS', pool .. 'task:' .. id) == 1 and hand_out(id)
end
