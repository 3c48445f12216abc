import { mount } from "svelte";
import "../theme/base.css";
import Login from "./Login.svelte";

mount(Login, { target: document.body });
