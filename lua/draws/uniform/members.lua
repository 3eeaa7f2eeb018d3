-- members: a label's tasks as the draws know them: by the label's set alone.
-- Gives: index_holds, index_member
local function index_holds() end
local index_member = index_holds
