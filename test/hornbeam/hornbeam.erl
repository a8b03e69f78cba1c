%% @doc Stands in for Hornbeam, which is in no registry: what it does with registered functions, as
%% seen on erlang_python 2, where a reply travels as text.
%%
%% serve/0 answers lines of JSON, `[Name, Args]', as Python's `erlang.call(name, *args)' asks them.
-module(hornbeam).
-export([register_function/2, call/2, serve/0]).

-define(LARGEST_TEXT, 65536).

register_function(Name, Function) when is_atom(Name), is_function(Function, 1) ->
    persistent_term:put({?MODULE, Name}, Function).

call(Name, Args) ->
    Reply = (persistent_term:get({?MODULE, binary_to_existing_atom(Name)}))(Args),
    case iolist_size(io_lib:format("~0p", [Reply])) of
        Size when Size > ?LARGEST_TEXT -> error({breaks_the_web_node, Size});
        _ -> Reply
    end.

serve() ->
    ok = io:setopts([binary, {encoding, latin1}]),
    spawn(fun serve_lines/0),
    ok.

serve_lines() ->
    case io:get_line("") of
        eof ->
            halt(0);
        Line ->
            [Name, Args] = jiffy:decode(Line, [return_maps, {null_term, none}]),
            ok = io:put_chars([jiffy:encode(reply(Name, Args)), $\n]),
            serve_lines()
    end.

reply(Name, Args) ->
    try call(Name, Args) of
        Reply -> #{ok => Reply}
    catch
        Class:Reason -> #{error => iolist_to_binary(io_lib:format("~0tp", [{Class, Reason}]))}
    end.
