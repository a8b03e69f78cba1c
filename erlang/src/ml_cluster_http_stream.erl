%% @doc `POST /infer/stream': a text per line in, a vector per line out, in the order of the lines,
%% for as long as the client likes.
%%
%% At most `stream_lines' are being computed at a time, and little is read beyond what those need: a
%% client that sends faster than the workers compute waits in its own send. Each line is a call of
%% its own, so a line that is wrong, or fails, costs no other. A client that does not read stops the
%% whole; after `write_timeout_ms' it is cut off.
-module(ml_cluster_http_stream).

-export([run/2]).

-define(AHEAD, 65536).
%% Far more than a line has that says something to us.
-define(LINE_VALUES, 100).

-type line() :: {pending, pid()} | {done, iodata()}.

-record(stream, {
    conn :: ml_cluster_http_adapter:conn(),
    options :: map(),
    limits :: map(),
    %% Bytes of the body that are no whole line yet; `skipping': of one that is too long already.
    buffer = <<>> :: binary(),
    skipping = false :: boolean(),
    %% `asked': a message with more of the body is on its way.
    input = idle :: idle | asked | ended,
    next = 0 :: non_neg_integer(),
    %% The lines from the oldest that is not written to the newest, by number.
    oldest = 0 :: non_neg_integer(),
    lines = #{} :: #{non_neg_integer() => line()}
}).

%% @doc Answers line by line until the body has ended and all is written.
-spec run(ml_cluster_http:request(), ml_cluster_http_adapter:conn()) -> finished | cut.
run(Request, Conn) ->
    Options = ml_cluster_http_body:options(Request),
    ok = some_worker(),
    Headers = [
        {<<"content-type">>, <<"application/x-ndjson">>},
        {<<"x-request-id">>, maps:get(id, Request)}
        | ml_cluster_http_cors:headers(Request)
    ],
    case ml_cluster_http_adapter:start(200, Headers, Conn) of
        {ok, Started} ->
            loop(#stream{
                conn = Started,
                options = Options#{wish_format => json},
                limits = ml_cluster_config:get(limits)
            });
        {error, closed} ->
            cut
    end.

some_worker() ->
    case ml_cluster_table:up(remote) ++ ml_cluster_table:up(local) of
        [] -> throw({http, no_workers});
        _ -> ok
    end.

%% Until there is nothing to write: what is written makes room for further lines.
loop(Stream) ->
    case take_done(feed(Stream), []) of
        {[], Waiting} -> continue(Waiting);
        {Text, #stream{conn = Conn} = Left} -> written(ml_cluster_http_adapter:write(Text, Conn), Left)
    end.

written({ok, Conn}, Stream) -> loop(Stream#stream{conn = Conn});
written({error, _}, Stream) -> give_up(Stream).

continue(#stream{input = ended, lines = Lines, conn = Conn}) when map_size(Lines) =:= 0 ->
    case ml_cluster_http_adapter:finish(Conn) of
        ok -> finished;
        {error, closed} -> cut
    end;
continue(#stream{limits = #{stream_idle_ms := Idle}} = Stream) ->
    #stream{conn = Conn} = Asking = ask(Stream),
    receive
        {?MODULE, Index, Line} ->
            loop(done(Index, Line, Asking));
        Message ->
            case ml_cluster_http_adapter:event(Message, Conn) of
                other -> continue(Asking);
                Event -> arrived(Event, Asking)
            end
    after Idle ->
        give_up(Asking)
    end.

%% After the first byte there is no way to say what went wrong, but to end without an end.
arrived({error, _}, Stream) ->
    give_up(Stream);
arrived({Kind, Bytes, Conn}, #stream{buffer = Buffer} = Stream) ->
    loop(Stream#stream{
        conn = Conn,
        buffer = <<Buffer/binary, Bytes/binary>>,
        input = input(Kind)
    }).

input(data) -> idle;
input(last) -> ended.

give_up(#stream{lines = Lines}) ->
    _ = [unlink(Pid) andalso exit(Pid, kill) || {pending, Pid} <- maps:values(Lines)],
    cut.

%% ---- The body, as far as there is room ----

%% A little ahead of what there is room for: a client that hangs up is noticed by reading alone.
ask(#stream{input = idle, conn = Conn, buffer = Buffer} = Stream) ->
    case has_room(Stream) orelse byte_size(Buffer) < ?AHEAD of
        true -> Stream#stream{conn = ml_cluster_http_adapter:more(Conn), input = asked};
        false -> Stream
    end;
ask(Stream) ->
    Stream.

%% Lines that are done but wait for an older one count: they are memory too.
has_room(#stream{lines = Lines, limits = #{stream_lines := Max}}) -> map_size(Lines) < Max.

feed(Stream) ->
    case has_room(Stream) of
        true -> feed(next_line(Stream), Stream);
        false -> Stream
    end.

feed({line, Line, Rest}, Stream) ->
    feed(started(Line, Stream#stream{buffer = Rest, skipping = false}));
feed({part, Rest, Skipping}, Stream) ->
    Stream#stream{buffer = Rest, skipping = Skipping}.

next_line(#stream{buffer = Buffer, skipping = Skipping, input = Input, limits = Limits}) ->
    #{line_bytes := Max} = Limits,
    case binary:split(Buffer, <<"\n">>) of
        [_, Rest] when Skipping -> {line, too_long, Rest};
        [Line, Rest] when byte_size(Line) =< Max -> {line, Line, Rest};
        [_, Rest] -> {line, too_long, Rest};
        [<<>>] when not Skipping -> {part, <<>>, false};
        [_] when Skipping, Input =:= ended -> {line, too_long, <<>>};
        [Last] when Input =:= ended, byte_size(Last) =< Max -> {line, Last, <<>>};
        [Part] when byte_size(Part) =< Max, not Skipping -> {part, Part, false};
        [_] -> {part, <<>>, true}
    end.

%% ---- Lines ----

started(Line, #stream{next = Index, lines = Lines} = Stream) ->
    case is_blank(Line) of
        true ->
            Stream;
        false ->
            State = start(Line, Index, Stream),
            Stream#stream{next = Index + 1, lines = Lines#{Index => State}}
    end.

is_blank(too_long) -> false;
is_blank(<<C, Rest/binary>>) when C =:= $\s; C =:= $\t; C =:= $\r -> is_blank(Rest);
is_blank(Rest) -> Rest =:= <<>>.

start(too_long, Index, #stream{limits = #{line_bytes := Max}}) ->
    {done, failed(Index, {too_large, <<"line">>, {at_least, Max + 1}, Max})};
start(Line, Index, #stream{options = Options}) ->
    Stream = self(),
    {pending, spawn_link(fun() -> Stream ! {?MODULE, Index, answer(Line, Index, Options)} end)}.

%% The line's process is linked to the stream's: an error in here must not end the others.
answer(Line, Index, Options) ->
    try
        #{<<"text">> := Text} = Object = object(ml_cluster_json:decode(Line, ?LINE_VALUES)),
        case ml_cluster:encode([Text], ml_cluster_http_body:model(Object), Options) of
            {ok, #{embeddings := [Vector]}} -> embedded(Index, Vector);
            {error, Reason} -> failed(Index, Reason)
        end
    catch
        throw:{http, Wrong} -> failed(Index, Wrong);
        Class:Crash:Stack ->
            ok = ml_cluster_log:bug(line_failed, Class, Crash, Stack),
            failed(Index, internal)
    end.

object({ok, Text}) when is_binary(Text) ->
    #{<<"text">> => Text};
object({ok, #{<<"text">> := Text} = Object}) when is_binary(Text) ->
    case maps:keys(maps:without([<<"text">>, <<"model">>], Object)) of
        [] -> Object;
        [Unknown | _] -> throw({http, {bad_argument, Unknown, <<"is not a field here">>}})
    end;
object({ok, _}) ->
    throw({http, {bad_argument, <<"text">>, <<"expected a string, or an object with text">>}});
object({error, Reason}) ->
    throw({http, Reason}).

embedded(Index, Vector) ->
    line(#{index => Index, embedding => ml_cluster_http_infer:vector(Vector)}).

failed(Index, Reason) ->
    {_, Word, Message} = ml_cluster_http_error:describe(Reason),
    line(#{index => Index, error => #{message => Message, reason => Word}}).

line(Value) -> [ml_cluster_json:encode(Value), $\n].

done(Index, Line, #stream{lines = Lines} = Stream) ->
    Stream#stream{lines = Lines#{Index := {done, Line}}}.

%% What is done at the front of the queue.
take_done(#stream{oldest = Oldest, lines = Lines} = Stream, Text) ->
    case Lines of
        #{Oldest := {done, Line}} ->
            Left = Stream#stream{oldest = Oldest + 1, lines = maps:remove(Oldest, Lines)},
            take_done(Left, [Text | Line]);
        _ ->
            {Text, Stream}
    end.
