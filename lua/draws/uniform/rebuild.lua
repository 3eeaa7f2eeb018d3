-- rebuild: there is nothing that the draws keep.
-- Gives: index_clear, index_label, index_tasks
local function index_clear() end
local index_label, index_tasks = index_clear, index_clear
