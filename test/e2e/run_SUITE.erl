%% @doc The README's first command, as a newcomer runs it: scripts/run, then curl and an Erlang
%% shell from a second terminal, then Ctrl-C.
-module(run_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 10}}].

all() -> [from_command_to_vector].

from_command_to_vector(_) ->
    Port = e2e:free_port(),
    %% A shell that was started in the background ignores SIGINT, and hands that on.
    Run = open_port({spawn_executable, os:find_executable("env")},
                    [{args, ["--default-signal=INT", filename:join([e2e:root(), "scripts", "run"]),
                             "--workers", "2", "--port", integer_to_list(Port)]}, binary,
                     stderr_to_stdout, exit_status]),
    {os_pid, Pid} = erlang:port_info(Run, os_pid),
    Said = await(Run, <<"Ctrl-C">>, <<>>),
    [?assertNotEqual(nomatch, binary:match(Said, Part)) ||
        Part <- [<<"curl">>, <<"rpc:call">>, <<"net_adm:ping">>]],
    {0, Body} = e2e:run("curl", ["-s", lists:concat(["http://127.0.0.1:", Port, "/infer"]), "-H",
                                 "content-type: application/json", "-d",
                                 "{\"texts\": [\"hello world\"]}"]),
    #{<<"embeddings">> := [Vector]} = jiffy:decode(Body, [return_maps]),
    ?assertEqual({pong, Vector, [0, 1]}, from_a_shell()),
    Children = os:cmd(lists:concat(["pgrep -P ", Pid])),
    _ = os:cmd(lists:concat(["kill -INT ", Pid])),
    ?assertMatch({exited, Status, _} when Status =:= 130, await_exit(Run, <<>>)),
    [?assertNot(filelib:is_dir("/proc/" ++ Child)) || Child <- string:lexemes(Children, "\n")].

%% What the issue asks of `erl -name t@127.0.0.1' with the cookie.
from_a_shell() ->
    {ok, Cookie} = file:read_file(filename:join([e2e:root(), "run", "home", ".erlang.cookie"])),
    Code = "W = 'worker1@127.0.0.1', T = [[<<\"from a second terminal\">>], default],"
           "P = net_adm:ping(W),"
           "#{embeddings := [V]} = rpc:call(W, ml_worker, encode, [[<<\"hello world\">>], default]),"
           "#{cached := A} = rpc:call(W, ml_worker, encode, T),"
           "#{cached := B} = rpc:call(W, ml_worker, encode, T),"
           "io:format(\"~0p.\", [{P, V, [A, B]}]), halt(0).",
    {0, Output} = e2e:run("erl", ["-name", "t@127.0.0.1", "-setcookie", binary_to_list(Cookie),
                                  "-noinput", "-eval", Code]),
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Output)),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.

await(Port, Text, Output) ->
    case binary:match(Output, Text) of
        nomatch ->
            receive
                {Port, {data, Data}} -> await(Port, Text, <<Output/binary, Data/binary>>);
                {Port, {exit_status, Status}} -> error({ended, Status, Output})
            after 300000 -> error({silent, Output})
            end;
        _ -> Output
    end.

await_exit(Port, Output) ->
    receive
        {Port, {data, Data}} -> await_exit(Port, <<Output/binary, Data/binary>>);
        {Port, {exit_status, Status}} -> {exited, Status, Output}
    after 60000 -> error({still_running, Output})
    end.
