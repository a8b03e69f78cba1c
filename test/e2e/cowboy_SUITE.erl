%% @doc The front as handlers in a Cowboy listener that somebody else started, as Hornbeam does: on
%% OTP 29 with Debian sid's Cowboy, in the folder that scripts/setup made by debootstrap. The listener
%% has Hornbeam's options, its short idle_timeout too.
-module(cowboy_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(LISTENER, front_under_cowboy).
-define(BODY_BYTES, 1000000).

suite() -> [{timetrap, {minutes, 5}}].

%% Without the set-up one case stands there and says so.
all() ->
    case is_there() of
        true -> cases();
        false -> [not_run]
    end.

cases() ->
    [
        infer_is_rpc,
        every_route_is_mounted,
        the_page_works_under_a_prefix,
        errors_have_their_status,
        bytes_that_are_no_text_are_answered,
        a_crash_says_nothing_of_what_was_sent,
        hostile_requests_cost_little,
        longer_than_idle_timeout,
        too_large_is_refused_before_it_is_read,
        a_slow_body_is_cut,
        a_chunked_body_is_read,
        a_stream_answers_line_by_line,
        a_stream_with_expect_is_told_to_continue,
        a_stream_that_nobody_reads_is_cut,
        a_client_that_hangs_up_cancels
    ].

is_there() -> filelib:is_regular(filename:join([e2e:root(), ".deps", "stamps", "otp29"])).

not_run(_) -> io:format(user, "Cowboy: NOT RUN, set-up could not get OTP 29~n", []).

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_cowboy),
    Worker = e2e:start_worker(worker),
    started(is_there(), [{worker, Worker}, {node, e2e:node_of(Worker)} | Config]).

started(false, Config) ->
    Config;
started(true, Config) ->
    Root = filename:join([e2e:root(), ".deps", "otp29"]),
    {Folder, Inside} = releases_SUITE:compiled_front(Root),
    %% A library folder, with what lies in priv/.
    Library = filename:join(Folder, "ml_cluster"),
    "" = os:cmd(lists:concat(["mkdir ", Library, " && cd ", Folder, " && mv ebin ", Library,
                              " && cp -r ", e2e:root(), "/erlang/priv ", Library])),
    Front = start_node(Root),
    Ebin = filename:join([filename:dirname(Inside), "ml_cluster", "ebin"]),
    true = rpc:call(Front, code, add_path, [Ebin]),
    ok = start_front(Front, proplists:get_value(node, Config)),
    Port = listen(Front),
    [{front, Front}, {folder, Folder}, {inside, filename:dirname(Inside)}, {port, Port} | Config].

end_per_suite(Config) ->
    case proplists:get_value(front, Config) of
        undefined -> ok;
        Front -> ok = rpc:call(Front, init, stop, [])
    end,
    _ = os:cmd("rm -rf " ++ proplists:get_value(folder, Config, "")),
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

%% A node of OTP 29 that lives until it is stopped.
start_node(Root) ->
    Name = e2e:unique(cowboy) ++ "@127.0.0.1",
    Args = [Root, "erl", "-name", Name, "-setcookie", atom_to_list(erlang:get_cookie()), "-noinput",
            "-kernel", "inet_dist_use_interface", "{127,0,0,1}"],
    Self = self(),
    %% The port lives with its owner, and the suite's set-up runs in a process of its own.
    _ = spawn(fun() ->
        _ = open_port({spawn_executable, os:find_executable("chroot")}, [{args, Args}]),
        Self ! opened,
        receive stop -> ok end
    end),
    receive opened -> ok end,
    Node = list_to_atom(Name),
    ok = e2e:eventually(fun() -> net_adm:ping(Node) =:= pong end),
    Node.

start_front(Front, Worker) ->
    ok = rpc:call(Front, application, load, [ml_cluster]),
    Limits = #{body_bytes => ?BODY_BYTES, body_timeout_ms => 1000, write_timeout_ms => 1000},
    [ok = rpc:call(Front, application, set_env, [ml_cluster, Key, Value])
     || {Key, Value} <- [{http, false}, {workers, [Worker]}, {limits, Limits}]],
    {ok, _} = rpc:call(Front, application, ensure_all_started, [ml_cluster]),
    e2e:eventually(fun() ->
        [up] =:= [S || #{state := S} <- rpc:call(Front, ml_cluster, workers, [])]
    end).

%% As hornbeam:start_listener/1 does, with the routes at the root and again under a prefix.
listen(Front) ->
    {ok, _} = rpc:call(Front, application, ensure_all_started, [cowboy]),
    Call = fun(Function, Args) -> rpc:call(Front, ml_cluster_hornbeam, Function, Args) end,
    Routes = Call(routes, [<<"/ml">>]) ++ Call(routes, []),
    Dispatch = rpc:call(Front, cowboy_router, compile, [[{'_', Routes}]]),
    Options = #{env => #{dispatch => Dispatch}, idle_timeout => 300, request_timeout => 30000},
    Socket = #{socket_opts => [{ip, {127, 0, 0, 1}}, {port, 0}]},
    {ok, _} = rpc:call(Front, cowboy, start_clear, [?LISTENER, Socket, Options]),
    rpc:call(Front, ranch, get_port, [?LISTENER]).

%% ---- Requests ----

connect(Config) -> connect(Config, []).

connect(Config, Options) ->
    Port = proplists:get_value(port, Config),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false} | Options]),
    Socket.

%% {Status, Head, Body} of one request on a connection of its own.
request(Config, Method, Path, Headers, Body) ->
    Socket = connect(Config),
    ok = gen_tcp:send(Socket, [Method, " ", Path, " HTTP/1.1\r\nhost: x\r\nconnection: close\r\n",
                               [[H, "\r\n"] || H <- Headers], "\r\n", Body]),
    parsed(read_all(Socket, <<>>)).

read_all(Socket, Read) ->
    case gen_tcp:recv(Socket, 0, 60000) of
        {ok, More} -> read_all(Socket, <<Read/binary, More/binary>>);
        {error, closed} -> Read
    end.

parsed(<<"HTTP/1.1 ", Status:3/binary, Rest/binary>>) ->
    [Head, Body] = binary:split(Rest, <<"\r\n\r\n">>),
    {binary_to_integer(Status), Head, Body}.

get(Config, Path) -> request(Config, "GET", Path, [], "").

post(Config, Path, Value) ->
    Body = jiffy:encode(Value),
    {Status, _, Answer} = request(Config, "POST", Path, [length_of(Body)], Body),
    {Status, jiffy:decode(Answer, [return_maps])}.

length_of(Body) -> ["content-length: ", integer_to_list(iolist_size(Body))].

texts(Count) ->
    Salt = integer_to_binary(erlang:unique_integer([positive])),
    [<<Salt/binary, " number ", (integer_to_binary(N))/binary>> || N <- lists:seq(1, Count)].

worker_vectors(Config, Texts) ->
    Node = proplists:get_value(node, Config),
    maps:get(embeddings, rpc:call(Node, ml_worker, encode, [Texts, default])).

%% ---- Cases ----

infer_is_rpc(Config) ->
    Texts = texts(3),
    Expected = worker_vectors(Config, Texts),
    [?assertMatch({200, #{<<"embeddings">> := Expected}}, post(Config, Path, #{texts => Texts}))
     || Path <- ["/infer", "/infer/parallel", "/ml/infer"]].

every_route_is_mounted(Config) ->
    Front = proplists:get_value(front, Config),
    Mounted = [Path || {Path, _, _} <- rpc:call(Front, ml_cluster_hornbeam, routes, [])],
    [?assert(lists:member(Path, Mounted))
     || Path <- [<<"/">>, <<"/infer">>, <<"/infer/parallel">>, <<"/infer/stream">>, <<"/cluster">>,
                 <<"/metrics">>, <<"/v1/embeddings">>, <<"/v1/models">>, <<"/embed">>, <<"/info">>,
                 <<"/tokenize">>, <<"/health">>, <<"/ui/[...]">>]],
    [?assertMatch({{200, _, _}, _}, {get(Config, Path), Path})
     || Path <- ["/", "/cluster", "/metrics", "/v1/models", "/info", "/health", "/ui/main.js",
                 "/v1/models/all-MiniLM-L6-v2"]].

the_page_works_under_a_prefix(Config) ->
    {308, Moved, _} = get(Config, "/ml"),
    ?assertNotEqual(nomatch, binary:match(Moved, <<"location: /ml/\r\n">>)),
    {200, Head, Page} = get(Config, "/ml/"),
    ?assertNotEqual(nomatch, binary:match(Head, <<"content-security-policy">>)),
    {match, Links} = re:run(Page, "(?:src|href)=\"([^\"]+)\"", [global, {capture, [1], binary}]),
    ?assert(length(Links) >= 5),
    [?assertMatch({{200, _, _}, _}, {get(Config, ["/ml/", Link]), Link}) || [Link] <- Links].

errors_have_their_status(Config) ->
    ?assertMatch({404, #{<<"error">> := #{<<"reason">> := <<"unknown_model">>}}},
                 post(Config, "/infer", #{texts => [<<"a">>], model => <<"nope">>})),
    ?assertMatch({422, _}, post(Config, "/infer", #{texts => 1})),
    ?assertMatch({405, _, _}, get(Config, "/infer")),
    ?assertMatch({400, _, _}, request(Config, "POST", "/infer", ["content-length: 1"], "{")).

%% A header may have any byte above 127, and a value that says nothing to us is passed over.
bytes_that_are_no_text_are_answered(Config) ->
    Body = "{\"texts\":[\"a secret\"]}",
    Post = fun(Header) ->
        request(Config, "POST", "/infer", [Header, length_of(Body)], Body)
    end,
    {_, Lines} = logged(Config, fun() ->
        ?assertMatch({200, _, _}, Post(["expect: ", 255])),
        ?assertMatch({200, _, _}, Post(["origin: ", 255])),
        ?assertMatch({200, _, _}, request(Config, "GET", "/metrics", [["accept: ", 255]], "")),
        ?assertMatch({400, _, _}, request(Config, "POST", "/infer", [["transfer-encoding: ", 255]], "")),
        ?assertMatch({404, _, _}, request(Config, "GET", "/v1/models/%ff", [], "")),
        %% That one Cowboy reads.
        ?assertMatch({_, true}, is_one_of([200, 400], status(Config, [
            "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close, ", 255, "\r\n\r\n"])))
    end),
    ?assertEqual([], Lines).

is_one_of(Statuses, Status) -> {Status, lists:member(Status, Statuses)}.

%% Whatever crashes: its mailbox may have what was sent.
a_crash_says_nothing_of_what_was_sent(Config) ->
    Front = proplists:get_value(front, Config),
    {ok, Right} = rpc:call(Front, ml_cluster_app, check, []),
    ok = rpc:call(Front, ml_cluster_config, install, [Right#{http := #{cors => no_list}}]),
    {Answer, Lines} = logged(Config, fun() ->
        request(Config, "GET", "/health", ["origin: secret", "authorization: Bearer secret"], "")
    end),
    ok = rpc:call(Front, ml_cluster_config, install, [Right]),
    ?assertMatch({500, _, _}, Answer),
    ?assertMatch([_], Lines),
    ?assertEqual([], [Line || Line <- Lines, binary:match(Line, <<"secret">>) =/= nomatch]),
    ?assertEqual([], [Line || Line <- Lines, binary:match(Line, <<"a connection failed: error:">>) =:= nomatch]).

%% What a function gives, and what the front logs meanwhile.
logged(Config, Function) ->
    Front = proplists:get_value(front, Config),
    File = filename:join(proplists:get_value(inside, Config), "log"),
    Formatter = {logger_formatter, #{single_line => true}},
    ok = rpc:call(Front, logger, add_handler, [?MODULE, logger_std_h,
        #{config => #{file => File}, formatter => Formatter}]),
    try
        Result = Function(),
        ok = rpc:call(Front, logger_std_h, filesync, [?MODULE]),
        {ok, Text} = rpc:call(Front, file, read_file, [File]),
        {Result, binary:split(Text, <<"\n">>, [global, trim])}
    after
        ok = rpc:call(Front, logger, remove_handler, [?MODULE]),
        _ = rpc:call(Front, file, delete, [File])
    end.

%% Each gets its status or a closed connection, none costs a second or memory that stays.
hostile_requests_cost_little(Config) ->
    Front = proplists:get_value(front, Config),
    Digits = binary:copy(<<"9">>, ?BODY_BYTES - 100),
    Head = "POST /infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n",
    Body = fun(Bytes) -> [Head, length_of(Bytes), "\r\n\r\n", Bytes] end,
    Chunked = fun(Bytes) -> [Head, "transfer-encoding: chunked\r\n\r\n", Bytes] end,
    Before = rpc:call(Front, erlang, memory, [total]),
    [
        begin
            Begun = erlang:monotonic_time(millisecond),
            Status = status(Config, Bytes),
            Took = erlang:monotonic_time(millisecond) - Begun,
            ?assertMatch({_, true}, {{What, Status}, lists:member(Status, Statuses)}),
            ?assertMatch({_, true}, {{What, Took}, Took < 1000})
        end
     || {What, Statuses, Bytes} <- [
            {digits, [400], Body([<<"{\"texts\":">>, Digits, <<"}">>])},
            {nesting, [400], Body([binary:copy(<<"[">>, 500000)])},
            {key_twice, [400], Body(<<"{\"texts\":[\"a\"],\"texts\":[\"b\"]}">>)},
            {not_utf8, [400], Body(<<"{\"texts\":[\"", 255, "\"]}">>)},
            {bad_chunk, [400, closed], Chunked("zz\r\n")},
            {chunks_of_a_byte, [400], Chunked([binary:copy(<<"1\r\n \r\n">>, 100000), "0\r\n\r\n"])},
            {values, [413], Body([<<"{\"texts\":[">>, binary:copy(<<"\"\",">>, 300000), <<"\"\"]}">>])},
            {two_lengths, [400, closed],
                [Head, "content-length: 5\r\ncontent-length: 6\r\n\r\nhello"]},
            {both_framings, [400, closed],
                [Head, "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"]},
            {headers, [431, closed], [Head, lists:duplicate(10000, "x: y\r\n"), "\r\n"]},
            {long_header, [431, closed], [Head, "x: ", binary:copy(<<"y">>, 1000000), "\r\n\r\n"]}
        ]
    ],
    %% What is announced and does not come is waited for until the deadline of the body.
    ?assertEqual(408, status(Config, Chunked("ffffffffffffffff\r\n"))),
    {200, _, _} = get(Config, "/health"),
    ok = e2e:eventually(fun() ->
        [rpc:call(Front, erlang, garbage_collect, [Pid]) || Pid <- rpc:call(Front, erlang, processes, [])],
        Grown = rpc:call(Front, erlang, memory, [total]) - Before,
        Grown < 10000000 orelse Grown
    end).

status(Config, Bytes) ->
    Socket = connect(Config),
    _ = gen_tcp:send(Socket, Bytes),
    case read_what_is_there(Socket, <<>>) of
        <<"HTTP/1.1 ", Status:3/binary, _/binary>> -> binary_to_integer(Status);
        <<>> -> closed
    end.

longer_than_idle_timeout(Config) ->
    %% Some seconds of work, while the listener cuts what is silent for 300 ms.
    Texts = [binary:copy(<<Text/binary, " ">>, 40) || Text <- texts(300)],
    Begun = erlang:monotonic_time(millisecond),
    {200, #{<<"embeddings">> := Vectors}} = post(Config, "/infer", #{texts => Texts}),
    ?assertEqual(300, length(Vectors)),
    ?assert(erlang:monotonic_time(millisecond) - Begun > 300).

too_large_is_refused_before_it_is_read(Config) ->
    Length = ["content-length: ", integer_to_list(?BODY_BYTES + 1)],
    %% Not a byte of the body is sent.
    {413, Head, _} = request(Config, "POST", "/infer", [Length], ""),
    ?assertNotEqual(nomatch, binary:match(Head, <<"connection: close">>)),
    Chunk = binary:copy(<<"x">>, ?BODY_BYTES),
    Chunked = [[integer_to_list(?BODY_BYTES, 16), "\r\n", Chunk, "\r\n"] || _ <- [1, 2]],
    ?assertMatch({413, _, _},
                 request(Config, "POST", "/infer", ["transfer-encoding: chunked"], Chunked)).

%% Each byte comes sooner than any idle_timeout; the deadline is for the body as a whole.
a_slow_body_is_cut(Config) ->
    Socket = connect(Config),
    ok = gen_tcp:send(Socket, "POST /infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"),
    ?assertMatch({408, _, _}, parsed(drip(Socket, 900))).

drip(Socket, 0) -> read_all(Socket, <<>>);
drip(Socket, Left) ->
    _ = gen_tcp:send(Socket, " "),
    case gen_tcp:recv(Socket, 0, 50) of
        {error, timeout} -> drip(Socket, Left - 1);
        {ok, Answer} -> read_all(Socket, Answer)
    end.

a_chunked_body_is_read(Config) ->
    Body = ["5\r\n{\"tex\r\n", "a\r\nts\":[\"a\"]}\r\n", "0\r\n\r\n"],
    ?assertMatch({200, _, _},
                 request(Config, "POST", "/infer", ["transfer-encoding: chunked"], Body)).

a_stream_answers_line_by_line(Config) ->
    Texts = [First | Rest] = texts(40),
    Socket = stream(Config, [], []),
    ok = gen_tcp:send(Socket, chunk([jiffy:encode(First), "\n"])),
    %% The answer to a line comes while the body is still open.
    Begun = read_until(Socket, <<"\"index\":0">>, <<>>),
    ok = gen_tcp:send(Socket, [chunk([jiffy:encode(#{text => Text}), "\n"]) || Text <- Rest]),
    ok = gen_tcp:send(Socket, "0\r\n\r\n"),
    {200, _, Body} = parsed(read_until(Socket, <<"\r\n0\r\n\r\n">>, Begun)),
    Answers = [jiffy:decode(Line, [return_maps])
               || Line <- binary:split(unchunked(Body), <<"\n">>, [global, trim])],
    ?assertEqual(lists:seq(0, 39), [Index || #{<<"index">> := Index} <- Answers]),
    ?assertEqual(worker_vectors(Config, Texts), [V || #{<<"embedding">> := V} <- Answers]).

a_stream_with_expect_is_told_to_continue(Config) ->
    Socket = stream(Config, ["expect: 100-continue"], []),
    _ = read_until(Socket, <<"100 Continue">>, <<>>),
    ok = gen_tcp:send(Socket, [chunk("\"a\"\n"), "0\r\n\r\n"]),
    _ = read_until(Socket, <<"\r\n0\r\n\r\n">>, <<>>).

%% It must see that it has half an answer: the connection ends without a last chunk.
a_stream_that_nobody_reads_is_cut(Config) ->
    Socket = stream(Config, [], [{recbuf, 8192}, {send_timeout, 30000}]),
    _ = send_until_closed(Socket, chunk(lists:duplicate(100, "\"the same text\"\n")), 2000),
    Read = read_what_is_there(Socket, <<>>),
    ?assertEqual(nomatch, binary:match(Read, <<"\r\n0\r\n\r\n">>)),
    ?assertMatch({200, _}, post(Config, "/infer", #{texts => [<<"others go on">>]})).

send_until_closed(_, _, 0) -> error(never_cut);
send_until_closed(Socket, Data, Left) ->
    case gen_tcp:send(Socket, Data) of
        ok ->
            timer:sleep(5),
            send_until_closed(Socket, Data, Left - 1);
        {error, Reason} when Reason =/= timeout -> ok
    end.

read_what_is_there(Socket, Read) ->
    case gen_tcp:recv(Socket, 0, 10000) of
        {ok, More} -> read_what_is_there(Socket, <<Read/binary, More/binary>>);
        {error, Reason} when Reason =/= timeout -> Read
    end.

a_client_that_hangs_up_cancels(Config) ->
    Cancelled = fun() ->
        #{calls := #{cancelled := Count}} =
            rpc:call(proplists:get_value(node, Config), ml_worker, info, []),
        Count
    end,
    Before = Cancelled(),
    Body = jiffy:encode(#{texts => [binary:copy(<<Text/binary, " ">>, 40) || Text <- texts(500)]}),
    Socket = connect(Config),
    ok = gen_tcp:send(Socket, ["POST /infer HTTP/1.1\r\nhost: x\r\n", length_of(Body), "\r\n\r\n", Body]),
    Front = proplists:get_value(front, Config),
    InFlight = fun() -> [N || #{in_flight := N} <- rpc:call(Front, ml_cluster, workers, [])] end,
    ok = e2e:eventually(fun() -> InFlight() =/= [0] end),
    ok = gen_tcp:close(Socket),
    ok = e2e:eventually(fun() ->
        case {Cancelled() - Before, InFlight()} of
            {Count, [0]} when Count > 0 -> true;
            Other -> Other
        end
    end).

%% ---- Streams ----

stream(Config, Headers, Options) ->
    Socket = connect(Config, Options),
    ok = gen_tcp:send(Socket, ["POST /infer/stream HTTP/1.1\r\nhost: x\r\n",
                               "transfer-encoding: chunked\r\n", [[H, "\r\n"] || H <- Headers], "\r\n"]),
    Socket.

chunk(Data) -> [integer_to_list(iolist_size(Data), 16), "\r\n", Data, "\r\n"].

read_until(Socket, What, Read) ->
    case binary:match(Read, What) of
        nomatch ->
            {ok, More} = gen_tcp:recv(Socket, 0, 60000),
            read_until(Socket, What, <<Read/binary, More/binary>>);
        _ ->
            Read
    end.

unchunked(Body) ->
    [Size, Rest] = binary:split(Body, <<"\r\n">>),
    case binary_to_integer(Size, 16) of
        0 ->
            <<>>;
        Length ->
            <<Data:Length/binary, "\r\n", More/binary>> = Rest,
            <<Data/binary, (unchunked(More))/binary>>
    end.
