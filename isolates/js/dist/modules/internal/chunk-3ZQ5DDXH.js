var noop_default=Object.assign(()=>{},{__unenv__:!0});export{noop_default};
